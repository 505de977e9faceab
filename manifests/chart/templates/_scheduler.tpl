{{- /* The configuration of the scheduler that calls the extender. */ -}}

{{- define "multicluster.schedulerConfig" -}}
{{- $own := eq .Values.scheduler.mode "own" -}}
{{- $config := .Files.Get ($own | ternary "files/own-scheduler-config.yaml" "files/kube-scheduler-config.yaml") -}}
{{- if eq .Values.extender.scorePolicy "pack" -}}
{{- $profile := "- schedulerName: admiralty-proxy\n" -}}
{{- if not (contains $profile $config) -}}
{{- fail "the scheduler's configuration has no profile admiralty-proxy" -}}
{{- end -}}
{{- $config = replace $profile (printf "%s%s" $profile (include "multicluster.packing" .)) $config -}}
{{- end -}}
{{- $config -}}
{{- end -}}

{{- define "multicluster.packing" }}  pluginConfig:
  # Spreading replicas over clusters is the opposite of packing.
  - name: PodTopologySpread
    args:
      defaultingType: List
{{ end -}}
