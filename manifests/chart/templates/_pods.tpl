{{- /* What the Deployments have in common. Most take a dict: root, values (those of the component), name, component. */ -}}

{{- define "multicluster.image" -}}
{{- $image := .values.image -}}
{{- $registry := $image.registry | default .root.Values.images.registry -}}
{{- $name := $registry | empty | ternary $image.repository (printf "%s/%s" (trimSuffix "/" $registry) $image.repository) -}}
{{- if $image.digest -}}
{{ printf "%s@%s" $name $image.digest | quote }}
{{- else -}}
{{- $tag := $image.tag -}}
{{- if not $tag -}}
{{- if eq .component "scheduler" -}}
{{- /* The cluster's own version, without what its provider adds. */ -}}
{{- $tag = regexFind "^v[0-9]+[.][0-9]+[.][0-9]+" .root.Capabilities.KubeVersion.Version -}}
{{- else -}}
{{- $tag = .root.Values.images.tag | default .root.Chart.AppVersion -}}
{{- end -}}
{{- end -}}
{{ printf "%s:%s" $name $tag | quote }}
{{- end -}}
{{- end -}}

{{- define "multicluster.podAnnotations" -}}
{{- $annotations := deepCopy .values.podAnnotations -}}
{{- if eq .component "scheduler" -}}
{{- /* kube-scheduler reads its configuration once: a change of it restarts it. */ -}}
{{- $config := include "multicluster.schedulerConfig" .root -}}
{{- $annotations = set $annotations "multicluster.admiralty.io/config-digest" (sha256sum $config | trunc 16) -}}
{{- end -}}
{{- with $annotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "multicluster.placement" -}}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- if kindIs "slice" .values.topologySpreadConstraints }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- else }}
topologySpreadConstraints:
- topologyKey: kubernetes.io/hostname
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      app.kubernetes.io/name: {{ .name }}
{{- end }}
{{- end -}}

{{- define "multicluster.logs" -}}
- name: LOG_FORMAT
  value: {{ .Values.logs.format | quote }}
{{- with .Values.logs.level }}
- name: LOG_LEVEL
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "multicluster.tracing" -}}
{{- with .Values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{- /* A variable for each pair of name and value that is given; what is not is left to the program's own default. */ -}}
{{- define "multicluster.variables" -}}
{{- range . }}
{{- $value := last . }}
{{- if not (or (kindIs "invalid" $value) (and (kindIs "string" $value) (empty $value))) }}
- name: {{ first . }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "multicluster.agentEnv" -}}
{{- $agent := .Values.agent -}}
{{- $kubelet := dict -}}
{{- if include "multicluster.kubeletApi" . -}}
{{- $kubelet = .Values.kubeletApi -}}
{{- end -}}
{{- $bind := "" -}}
{{- if and $kubelet.port (ne (int $kubelet.port) 10250) -}}
{{- $bind = printf "0.0.0.0:%d" (int $kubelet.port) -}}
{{- end -}}
{{- include "multicluster.variables" (list
  (list "CLUSTER_NAME" .Values.clusterName)
  (list "STALE_AFTER_SECONDS" .Values.staleAfterSeconds)
  (list "SLOW_AFTER_SECONDS" $agent.slowAfterSeconds)
  (list "MASS_FAILURE_THRESHOLD" $agent.massFailureThreshold)
  (list "NETWORK" $agent.network)
  (list "PUBLISH_NODES" ($agent.publishNodes | ternary "" "false"))
  (list "DNS" ($agent.dns.enabled | ternary "" "false"))
  (list "DNS_DEFAULT_POLICY" $agent.dns.defaultPolicy)
  (list "DNS_TTL" $agent.dns.ttl)
  (list "KUBELET_BIND_ADDR" $bind)
  (list "KUBELET_SIGNER" $kubelet.signer)
  (list "KUBELET_APPROVE" $kubelet.approve)
) -}}
{{- end -}}

{{- define "multicluster.extenderEnv" -}}
{{- include "multicluster.variables" (list
  (list "CLUSTER_NAME" .Values.clusterName)
  (list "STALE_AFTER" .Values.staleAfterSeconds)
  (list "SCHEDULE_TIMEOUT" .Values.extender.scheduleTimeoutSeconds)
  (list "SCORE_POLICY" .Values.extender.scorePolicy)
) -}}
{{- end -}}

{{- /* Not empty where virtual nodes are served. */ -}}
{{- define "multicluster.kubeletApi" -}}
{{- if and .Values.kubeletApi.enabled (ne .Values.role "target") -}}
true
{{- end -}}
{{- end -}}
