{{/* The name of everything of this release. */}}
{{- define "slopewatch.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What our objects are found by. */}}
{{- define "slopewatch.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "slopewatch.labels" -}}
{{ include "slopewatch.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{/* Name and labels of one part: dict "root" $ "part" "ingest". */}}
{{- define "slopewatch.metadata" -}}
name: {{ include "slopewatch.fullname" .root }}-{{ .part }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "slopewatch.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{/* The image of one part. Ingest names the models in force and training fits them, so they have
what inference has. */}}
{{- define "slopewatch.image" -}}
{{- $torch := or .root.Values.torch .root.Values.inference.gpu.enabled -}}
{{- $heavy := and $torch (has .part (list "ingest" "inference" "training")) -}}
{{- with .root.Values.image -}}
{{- $digest := ternary .inferenceDigest .digest $heavy -}}
{{- if $digest -}}
{{ .repository }}@{{ $digest }}
{{- else -}}
{{ .repository }}:{{ default $.root.Chart.AppVersion .tag }}{{ if $heavy }}-inference{{ end }}
{{- end -}}
{{- end -}}
{{- end -}}
