{{/* slopewatch.yaml: what `settings` says, and what follows from how pods are made. */}}
{{- define "slopewatch.settings" -}}
{{- $ours := dict
  "data" "/data"
  "sites" "/etc/slopewatch/sites"
  "metrics_host" "0.0.0.0"
  "metrics_port" (int .Values.metrics.port)
-}}
{{- with .Values.thresholds -}}
{{- if .configMap -}}
{{- $_ := set $ours "thresholds" (printf "/etc/slopewatch/thresholds/%s" .key) -}}
{{- end -}}
{{- end -}}
{{- mergeOverwrite (deepCopy .Values.settings) $ours | toYaml -}}
{{- end -}}

{{/* Name of the ConfigMap with the site files. */}}
{{- define "slopewatch.sitesConfigMap" -}}
{{- default (printf "%s-sites" (include "slopewatch.fullname" .)) .Values.existingSitesConfigMap -}}
{{- end -}}
