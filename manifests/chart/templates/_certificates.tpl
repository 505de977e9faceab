{{- /* Not empty where cert-manager issues this cluster's identities in targets. */ -}}
{{- define "multicluster.identities" -}}
{{- $enabled := .Values.identities.enabled -}}
{{- if kindIs "invalid" $enabled -}}
{{- $enabled = eq .Values.certificates.mode "certManager" -}}
{{- end -}}
{{- if and $enabled .Values.kubeconfigs.enabled (ne .Values.role "target") -}}
true
{{- end -}}
{{- end -}}

{{- /* Who signs a certificate: the issuer that was given, or the chart's own. Takes root, own. */ -}}
{{- define "multicluster.issuerRef" -}}
{{- $given := .root.Values.certificates.issuerRef -}}
{{- if $given.name -}}
group: {{ $given.group | quote }}
kind: {{ $given.kind | quote }}
name: {{ $given.name | quote }}
{{- else -}}
group: cert-manager.io
kind: Issuer
name: {{ .own }}
{{- end -}}
{{- end -}}

{{- /* The Secret with a certificate: one that is there already, or ours. Takes root, key (in certificates.existing), name. */ -}}
{{- define "multicluster.secret" -}}
{{- $secret := .name -}}
{{- if eq .root.Values.certificates.mode "existing" -}}
{{- $secret = (get .root.Values.certificates.existing .key).secretName -}}
{{- end -}}
{{- $secret | quote -}}
{{- end -}}

{{- /* Whom the API server trusts as the webhook. cert-manager fills it in by itself. */ -}}
{{- define "multicluster.caBundle" -}}
{{- if eq .Values.certificates.mode "existing" -}}
caBundle: {{ .Values.certificates.existing.webhook.caBundle | quote }}
{{- else if eq .Values.certificates.mode "selfManaged" -}}
{{- include "multicluster.makeCertificates" . -}}
caBundle: {{ index .Values._made "multicluster-webhook-tls" "ca.crt" | quote }}
{{- end -}}
{{- end -}}

{{- /* The names in the proxy's certificate, as JSON. */ -}}
{{- define "multicluster.authproxyNames" -}}
{{- $service := "multicluster-authproxy.multicluster-scheduler.svc" -}}
{{- concat (list $service (printf "%s.cluster.local" $service)) .Values.authproxy.dnsNames | toJson -}}
{{- end -}}

{{- /* Which certificates the chart makes in the mode selfManaged: by Secret. */ -}}
{{- define "multicluster.wanted" -}}
{{- $wanted := list -}}
{{- if ne .Values.role "target" -}}
{{- range list "webhook" "extender" -}}
{{- $service := printf "multicluster-%s.multicluster-scheduler.svc" . -}}
{{- $wanted = append $wanted (dict "secret" (printf "multicluster-%s-tls" .) "authority" "multicluster-ca"
  "commonName" (printf "multicluster-%s" .) "dns" (list $service (printf "%s.cluster.local" $service)) "ips" list) -}}
{{- end -}}
{{- /* The extender knows kube-scheduler by this name. */ -}}
{{- $wanted = append $wanted (dict "secret" "multicluster-scheduler-client-tls" "authority" "multicluster-ca"
  "commonName" "multicluster-scheduler" "dns" list "ips" list) -}}
{{- end -}}
{{- if .Values.authproxy.enabled -}}
{{- $wanted = append $wanted (dict "secret" "multicluster-authproxy-tls" "authority" "multicluster-authproxy-ca"
  "commonName" "multicluster-authproxy" "dns" (include "multicluster.authproxyNames" . | fromJsonArray)
  "ips" .Values.authproxy.ipAddresses) -}}
{{- end -}}
{{- $wanted | toJson -}}
{{- end -}}

{{- /*
Makes the certificates once in a rendering, and leaves them in .Values._made: by Secret, its data and when to renew it.

What the cluster has is kept, until a third of its time is left at an upgrade, or other names are asked for. An
authority keeps its key when it is renewed, so that what it has signed stays valid.
*/ -}}
{{- define "multicluster.makeCertificates" -}}
{{- if not (hasKey .Values "_made") -}}
{{- $days := int .Values.certificates.selfManaged.days -}}
{{- $now := now | unixEpoch | int64 -}}
{{- $made := dict -}}
{{- $authorities := dict -}}
{{- range $wanted := include "multicluster.wanted" . | fromJsonArray -}}
{{- $name := $wanted.authority -}}
{{- if not (hasKey $authorities $name) -}}
{{- $found := lookup "v1" "Secret" "multicluster-scheduler" $name -}}
{{- $data := $found.data | default dict -}}
{{- $renew := dig "metadata" "annotations" "multicluster.admiralty.io/renew-after" "0" $found | int64 -}}
{{- $kept := and (hasKey $data "tls.crt") (hasKey $data "tls.key") -}}
{{- if and $kept (gt $renew $now) -}}
{{- $_ := set $authorities $name (buildCustomCert (get $data "tls.crt") (get $data "tls.key")) -}}
{{- else -}}
{{- $key := $kept | ternary (get $data "tls.key" | b64dec) (genPrivateKey "ecdsa") -}}
{{- $_ := set $authorities $name (genCAWithKey $name (mul $days 2 | int) $key) -}}
{{- $renew = add $now (div (mul $days 2 86400 2) 3) -}}
{{- end -}}
{{- $authority := get $authorities $name -}}
{{- $_ := set $made $name (dict "renew" $renew "names" ""
  "tls.crt" ($authority.Cert | b64enc) "tls.key" ($authority.Key | b64enc)) -}}
{{- end -}}
{{- $authority := get $authorities $name -}}
{{- $names := concat (list $wanted.commonName) $wanted.dns $wanted.ips | join "," -}}
{{- $found := lookup "v1" "Secret" "multicluster-scheduler" $wanted.secret -}}
{{- $data := $found.data | default dict -}}
{{- $renew := dig "metadata" "annotations" "multicluster.admiralty.io/renew-after" "0" $found | int64 -}}
{{- $same := eq (dig "metadata" "annotations" "multicluster.admiralty.io/certificate-names" "" $found) $names -}}
{{- $entry := dict "ca.crt" ($authority.Cert | b64enc) "names" $names -}}
{{- if and $same (gt $renew $now) (hasKey $data "tls.crt") (hasKey $data "tls.key") -}}
{{- $_ := set $entry "renew" $renew -}}
{{- $_ := set $entry "tls.crt" (get $data "tls.crt") -}}
{{- $_ := set $entry "tls.key" (get $data "tls.key") -}}
{{- else -}}
{{- $leaf := genSignedCertWithKey $wanted.commonName $wanted.ips $wanted.dns $days $authority (genPrivateKey "ecdsa") -}}
{{- $_ := set $entry "renew" (add $now (div (mul $days 86400 2) 3)) -}}
{{- $_ := set $entry "tls.crt" ($leaf.Cert | b64enc) -}}
{{- $_ := set $entry "tls.key" ($leaf.Key | b64enc) -}}
{{- end -}}
{{- $_ := set $made $wanted.secret $entry -}}
{{- end -}}
{{- $_ := set .Values "_made" $made -}}
{{- end -}}
{{- end -}}
