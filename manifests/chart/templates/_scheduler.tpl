{{- /* The configuration of the scheduler that calls the extender. */ -}}

{{- define "multicluster.schedulerConfig" -}}
{{- $own := eq .Values.scheduler.mode "own" -}}
{{- $config := .Files.Get ($own | ternary "files/own-scheduler-config.yaml" "files/kube-scheduler-config.yaml") -}}
{{- if eq .Values.extender.scorePolicy "pack" -}}
{{- /* Spreading replicas over clusters is the opposite of packing. */ -}}
{{- $config = regexReplaceAll "\n {6}defaultConstraints:(\n {6}[- ] .*)+" $config "" -}}
{{- end -}}
{{- $config -}}
{{- end -}}
