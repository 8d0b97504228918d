{{/*
What pods have in common, containers apart: dict "root" $ "part" name "values" its values
"account" ServiceAccount "settings" ConfigMap "sites" ConfigMap or "" "claim" whether /data is one.
*/}}
{{- define "slopewatch.pod" -}}
{{- $root := .root -}}
automountServiceAccountToken: false
# A service named slopewatch-... would otherwise set variables that read like our settings.
enableServiceLinks: false
serviceAccountName: {{ .account }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with $root.Values.runAsUser }}
  runAsUser: {{ int . }}
  runAsGroup: {{ int . }}
  fsGroup: {{ int . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "slopewatch.tolerations" . }}
tolerations:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "slopewatch.affinity" . }}
affinity:
  {{- . | nindent 2 }}
{{- end }}
volumes:
  {{- include "slopewatch.volumes" . | nindent 2 }}
{{- end -}}

{{- define "slopewatch.tolerations" -}}
{{- $gpu := .values.gpu | default dict -}}
{{- if $gpu.enabled -}}
- key: {{ $gpu.resource }}
  operator: Exists
  effect: NoSchedule
{{ end -}}
{{- with .values.tolerations }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* The watchdog is kept off the node of alerting, of whose silence it tells. */}}
{{- define "slopewatch.affinity" -}}
{{- if .values.affinity -}}
{{ toYaml .values.affinity }}
{{- else if eq .part "watchdog" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "slopewatch.selector" .root | nindent 12 }}
            app.kubernetes.io/component: alerting
{{- end -}}
{{- end -}}

{{- define "slopewatch.volumes" -}}
{{- $root := .root -}}
{{- $groups := get (get (fromYaml (include "slopewatch.parts" $root)) .part) "secrets" -}}
- name: settings
  configMap:
    name: {{ .settings }}
{{- with .sites }}
- name: sites
  configMap:
    name: {{ . }}
{{- end }}
{{- if not .claim }}
- name: data
  emptyDir: {}
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 2Gi
{{- with $root.Values.thresholds.configMap }}
- name: thresholds
  configMap:
    name: {{ . }}
{{- end }}
{{- with include "slopewatch.secretFiles" (dict "root" $root "groups" $groups) | trim }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- range $group, $sources := $root.Values.certificates }}
{{- if and $sources (has $group $groups) }}
- name: certificates-{{ $group }}
  projected:
    defaultMode: 0440
    sources:
      {{- range $sources }}
      - {{ ternary "secret" "configMap" (hasKey . "secret") }}:
          name: {{ default .configMap .secret }}
          items:
            {{- range .keys }}
            - {key: {{ . | quote }}, path: {{ . | quote }}}
            {{- end }}
      {{- end }}
{{- end }}
{{- end }}
{{- with .values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Secrets as files, one a variable. */}}
{{- define "slopewatch.secretFiles" -}}
{{- range $group := without .groups "store" }}
{{- range $variable, $from := index $.root.Values.secrets $group }}
- secret:
    name: {{ $from.secret }}
    items:
      - {key: {{ $from.key | quote }}, path: {{ $variable }}}
{{- end }}
{{- end }}
{{- end -}}
