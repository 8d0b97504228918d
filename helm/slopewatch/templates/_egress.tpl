{{/* Rules of egress: dict "root" $ "reaches" groups. */}}
{{- define "slopewatch.egress" -}}
{{- $policy := .root.Values.networkPolicy -}}
- to:
    {{- toYaml $policy.dns | nindent 4 }}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- range $group := .reaches }}
{{- $unused := or (and (eq $group "projection") (not $.root.Values.projector.enabled))
  (and (eq $group "mail") (not $.root.Values.settings.smtp)) }}
{{- if not $unused }}
- ports:
    {{- range fromJsonArray (include "slopewatch.ports" (dict "root" $.root "group" $group)) }}
    - {port: {{ int . }}, protocol: TCP}
    {{- end }}
  {{- with index $policy.to $group }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- with $policy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
