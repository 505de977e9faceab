{{- /*
What the schema of the values cannot say. Each message begins with the value's name, and says what to write instead.

What is looked up in the cluster is nothing where there is none (helm template): then nothing is refused for it.
*/ -}}
{{- define "multicluster.validate" -}}
{{- $namespace := "multicluster-scheduler" -}}
{{- if ne .Release.Namespace $namespace -}}
{{- fail (printf "namespace: this chart is installed in the namespace %s and no other, which its policies, programs and certificates name; write --namespace %s --create-namespace, not %s" $namespace $namespace .Release.Namespace) -}}
{{- end -}}
{{- $source := ne .Values.role "target" -}}
{{- $target := ne .Values.role "source" -}}
{{- $components := list "agent" -}}
{{- if $source -}}
{{- $components = concat $components (list "webhook" "extender") -}}
{{- if eq .Values.scheduler.mode "second" -}}
{{- $components = append $components "scheduler" -}}
{{- end -}}
{{- else if eq .Values.scheduler.mode "own" -}}
{{- fail "scheduler.mode: own is for a source, and role is target; leave scheduler.mode out, or write source or both for role" -}}
{{- end -}}
{{- if .Values.authproxy.enabled -}}
{{- $components = append $components "authproxy" -}}
{{- if not $target -}}
{{- fail "authproxy.enabled: the proxy is for a target, and role is source; write false, or target or both for role" -}}
{{- end -}}
{{- if not (or .Values.authproxy.dnsNames .Values.authproxy.ipAddresses .Values.authproxy.inClusterOnly) -}}
{{- fail "authproxy.dnsNames: write the name by which sources reach the proxy, or authproxy.ipAddresses; or authproxy.inClusterOnly=true, if they do by its Service's name" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.monitoring.podMonitor.enabled .Values.monitoring.serviceMonitor.enabled -}}
{{- fail "monitoring.serviceMonitor.enabled: with monitoring.podMonitor.enabled, all would be counted twice; write false for one of them" -}}
{{- end -}}
{{- range $component := $components -}}
{{- $values := get $.Values $component -}}
{{- $budget := $values.podDisruptionBudget -}}
{{- if and $budget.enabled (ge (int $budget.minAvailable) (int $values.replicas)) -}}
{{- fail (printf "%s.podDisruptionBudget.minAvailable: %d of %d replicas would let no node be drained; write less, more for %s.replicas, or false for %s.podDisruptionBudget.enabled" $component (int $budget.minAvailable) (int $values.replicas) $component $component) -}}
{{- end -}}
{{- $seen := list -}}
{{- range $values.extraEnv -}}
{{- if or (has .name $seen) (has .name (include "multicluster.ownVariables" $ | fromJsonArray)) -}}
{{- fail (printf "%s.extraEnv: %s is there already; it has a value of its own in this chart, or is written twice" $component .name) -}}
{{- end -}}
{{- if and (hasKey . "value") (hasKey . "valueFrom") -}}
{{- fail (printf "%s.extraEnv: %s has both value and valueFrom; write one" $component .name) -}}
{{- end -}}
{{- $seen = append $seen .name -}}
{{- end -}}
{{- range $label, $_ := $values.podLabels -}}
{{- if has $label (list "app.kubernetes.io/name" "app.kubernetes.io/component" "app.kubernetes.io/part-of") -}}
{{- fail (printf "%s.podLabels: %s is the chart's own; leave it out" $component $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "multicluster.validateCertificates" . -}}
{{- include "multicluster.validateCluster" . -}}
{{- end -}}

{{- define "multicluster.validateCertificates" -}}
{{- $certificates := .Values.certificates -}}
{{- $source := ne .Values.role "target" -}}
{{- if and $certificates.issuerRef.name (ne $certificates.mode "certManager") -}}
{{- fail (printf "certificates.issuerRef.name: an issuer is for certificates.mode certManager, not %s; leave one of them out" $certificates.mode) -}}
{{- end -}}
{{- if eq $certificates.mode "existing" -}}
{{- $keys := list -}}
{{- if $source -}}
{{- $keys = list "webhook" "extender" "schedulerClient" -}}
{{- if not $certificates.existing.webhook.caBundle -}}
{{- fail "certificates.existing.webhook.caBundle: write the authority of the webhook's certificate, PEM in base64, so that the API server trusts it" -}}
{{- end -}}
{{- if not (contains "BEGIN CERTIFICATE" ($certificates.existing.webhook.caBundle | b64dec)) -}}
{{- fail "certificates.existing.webhook.caBundle: this is no certificate; write PEM in base64, as in: base64 -w0 ca.crt" -}}
{{- end -}}
{{- end -}}
{{- if .Values.authproxy.enabled -}}
{{- $keys = append $keys "authproxy" -}}
{{- end -}}
{{- range $keys -}}
{{- if not (get $certificates.existing .).secretName -}}
{{- fail (printf "certificates.existing.%s.secretName: write the name of a Secret with this certificate in the namespace multicluster-scheduler, or another certificates.mode" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.identities.enabled true) (not .Values.kubeconfigs.enabled) $source -}}
{{- fail "identities.enabled: identities are what Kubeconfigs ask for, and kubeconfigs.enabled is false; write true there, or leave identities.enabled out" -}}
{{- end -}}
{{- end -}}

{{- define "multicluster.validateCluster" -}}
{{- $namespace := "multicluster-scheduler" -}}
{{- if lookup "v1" "Namespace" "" "kube-system" -}}
{{- $source := ne .Values.role "target" -}}
{{- $certManager := eq .Values.certificates.mode "certManager" | and (or $source .Values.authproxy.enabled) -}}
{{- if not (.Capabilities.APIVersions.Has "cert-manager.io/v1") -}}
{{- if $certManager -}}
{{- fail "certificates.mode: certManager, but there is no cert-manager here; install it before, or write selfManaged or existing" -}}
{{- end -}}
{{- if include "multicluster.identities" . -}}
{{- fail "identities.enabled: identities need cert-manager, and there is none here; install it before, or write false" -}}
{{- end -}}
{{- end -}}
{{- if not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") -}}
{{- range list "podMonitor" "serviceMonitor" "prometheusRule" -}}
{{- if (get $.Values.monitoring .).enabled -}}
{{- fail (printf "monitoring.%s.enabled: there is no Prometheus operator here; install it before, or write false" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq (dig "metadata" "labels" "multicluster-scheduler" "" (lookup "v1" "Namespace" "" $namespace)) "enabled" -}}
{{- fail "namespace: the namespace multicluster-scheduler has the label multicluster-scheduler=enabled, by which the webhook would stand in its own way; remove the label" -}}
{{- end -}}
{{- if eq .Values.certificates.mode "existing" -}}
{{- range $key, $given := .Values.certificates.existing -}}
{{- if and $given.secretName (not (lookup "v1" "Secret" $namespace $given.secretName)) -}}
{{- fail (printf "certificates.existing.%s.secretName: there is no Secret %s in the namespace multicluster-scheduler; make it before" $key $given.secretName) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.certificates.mode "selfManaged" -}}
{{- include "multicluster.makeCertificates" . -}}
{{- range $name, $_ := .Values._made -}}
{{- $found := lookup "v1" "Secret" $namespace $name -}}
{{- if and $found (ne (dig "metadata" "annotations" "meta.helm.sh/release-name" "" $found) $.Release.Name) -}}
{{- fail (printf "certificates.mode: selfManaged, but the Secret %s is somebody else's, such as cert-manager's; first: kubectl delete secret --namespace multicluster-scheduler %s" $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "multicluster.validateUpgrade" . -}}
{{- end -}}
{{- end -}}

{{- /* What cannot be changed while the product works: its remains would be nobody's. */ -}}
{{- define "multicluster.validateUpgrade" -}}
{{- $agent := lookup "apps/v1" "Deployment" "multicluster-scheduler" "multicluster-agent" -}}
{{- range dig "spec" "template" "spec" "containers" list $agent -}}
{{- range .env -}}
{{- if eq .name "ROLES" -}}
{{- range splitList "," (.value | default "") -}}
{{- if and (has . (list "source" "target")) (not (has $.Values.role (list . "both"))) -}}
{{- fail (printf "role: this cluster is a %s now, and would be one no more: nobody would clean up after it; helm uninstall first, then install it again as %s" . $.Values.role) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (not .Values.kubeconfigs.enabled) (ne .Values.role "target") -}}
{{- $role := lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" "multicluster-agent-kubeconfigs" -}}
{{- if dig "metadata" "finalizers" list $role -}}
{{- fail "kubeconfigs.enabled: was true, and a finalizer keeps these rights for the agent's end; first: kubectl patch clusterrole,clusterrolebinding multicluster-agent-kubeconfigs --type=merge --patch '{\"metadata\":{\"finalizers\":null}}'" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Environment variables that the chart sets in one component or another, as JSON. */ -}}
{{- define "multicluster.ownVariables" -}}
{{- list "ADMIN_ADDR" "ALLOWED_CLIENT_NAMES" "CLIENT_CA_FILE" "CLUSTER_NAME" "DEFAULT_TOLERATION_SECONDS" "DNS"
  "DNS_DEFAULT_POLICY" "DNS_TTL" "KUBELET_APPROVE" "KUBELET_BIND_ADDR" "KUBELET_SIGNER" "LISTEN_ADDR" "LOG_FORMAT" "LOG_LEVEL"
  "MALLOC_ARENA_MAX" "MALLOC_TRIM_THRESHOLD_" "MASS_FAILURE_THRESHOLD" "NETWORK" "OTEL_EXPORTER_OTLP_ENDPOINT" "POD_IP"
  "POD_NAME" "POD_NAMESPACE" "PUBLISH_NODES" "ROLES" "SCHEDULER_NAME" "SCHEDULE_TIMEOUT" "SCORE_POLICY"
  "SHUTDOWN_DELAY_SECONDS" "SLOW_AFTER_SECONDS" "STALE_AFTER" "STALE_AFTER_SECONDS" "TLS_CERT_FILE" "TLS_PRIVATE_KEY_FILE"
  "TRACE_RATIO" | toJson -}}
{{- end -}}
