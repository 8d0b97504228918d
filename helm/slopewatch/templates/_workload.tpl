{{/* Labels and annotations of a part's pods; other settings are another pod. */}}
{{- define "slopewatch.podMetadata" -}}
labels:
  {{- include "slopewatch.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .part }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/settings: {{ include "slopewatch.settings" .root | sha256sum }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Replicas over zones and nodes, where there are several. */}}
{{- define "slopewatch.spread" -}}
topologySpreadConstraints:
{{- if .values.topologySpreadConstraints }}
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
{{- else }}
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "slopewatch.selector" $.root | nindent 8 }}
        app.kubernetes.io/component: {{ $.part }}
  {{- end }}
{{- end }}
{{- end -}}
