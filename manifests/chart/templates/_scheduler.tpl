{{- /* The configuration of the scheduler that calls the extender. */ -}}

{{- define "multicluster.schedulerConfig" -}}
{{- $own := eq .Values.scheduler.mode "own" -}}
{{- $config := .Files.Get ($own | ternary "files/own-scheduler-config.yaml" "files/kube-scheduler-config.yaml") -}}
{{- if eq .Values.extender.scorePolicy "pack" -}}
{{- /* Spreading replicas over clusters is the opposite of packing. */ -}}
{{- $spreading := include "multicluster.spreading" . -}}
{{- if not (contains $spreading $config) -}}
{{- fail "the scheduler's configuration does not spread as it did" -}}
{{- end -}}
{{- $config = replace $spreading "" $config -}}
{{- end -}}
{{- $config -}}
{{- end -}}

{{- define "multicluster.spreading" }}
      defaultConstraints:
      - topologyKey: multicluster.admiralty.io/cluster
        maxSkew: 3
        whenUnsatisfiable: ScheduleAnyway
{{- end -}}
