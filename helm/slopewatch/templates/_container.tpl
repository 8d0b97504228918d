{{/*
One container: as "slopewatch.pod", and "name" its name, "words" what slopewatch is told, "serves"
whether it answers probes. The file system is read-only but for /data and /tmp.
*/}}
{{- define "slopewatch.container" -}}
{{- $root := .root -}}
{{- $groups := get (get (fromYaml (include "slopewatch.parts" $root)) .part) "secrets" -}}
name: {{ .name }}
image: {{ include "slopewatch.image" . | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args:
  {{- range .words }}
  - {{ . | quote }}
  {{- end }}
env:
  - name: SLOPEWATCH_CONFIG
    value: /etc/slopewatch/slopewatch.yaml
  {{- if has "$(POD_NAME)" .words }}
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  {{- end }}
  {{- with include "slopewatch.variables" (dict "root" $root "groups" $groups) | trim }}
  {{- . | nindent 2 }}
  {{- end }}
{{- if .serves }}
ports:
  - name: http
    containerPort: {{ int $root.Values.metrics.port }}
{{- include "slopewatch.probes" $ | nindent 0 }}
{{- end }}
resources:
  {{- include "slopewatch.resources" . | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - {name: settings, mountPath: /etc/slopewatch/slopewatch.yaml, subPath: slopewatch.yaml, readOnly: true}
  {{- if .sites }}
  - {name: sites, mountPath: /etc/slopewatch/sites, readOnly: true}
  {{- end }}
  - {name: data, mountPath: /data}
  - {name: tmp, mountPath: /tmp}
  {{- if $root.Values.thresholds.configMap }}
  - {name: thresholds, mountPath: /etc/slopewatch/thresholds, readOnly: true}
  {{- end }}
  {{- if include "slopewatch.secretFiles" (dict "root" $root "groups" $groups) | trim }}
  - {name: secrets, mountPath: /etc/slopewatch/secrets, readOnly: true}
  {{- end }}
  {{- range $group, $sources := $root.Values.certificates }}
  {{- if and $sources (has $group $groups) }}
  - {name: certificates-{{ $group }}, mountPath: /etc/slopewatch/certificates/{{ $group }}, readOnly: true}
  {{- end }}
  {{- end }}
  {{- with .values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Where secrets lie, and what cloud clients read from variables alone. */}}
{{- define "slopewatch.variables" -}}
{{- range $group := .groups }}
{{- range $variable, $from := index $.root.Values.secrets $group }}
{{- if eq $group "store" }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ $from.secret }}
      key: {{ $from.key | quote }}
{{- else }}
- name: {{ $variable }}_FILE
  value: /etc/slopewatch/secrets/{{ $variable }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $value := .root.Values.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/*
A start may wait for each store; readiness asks them all, and each may take its time to fail. Liveness
fails when a loop has been at one pass for longer than any honest one takes (docs/metrics.md).
*/}}
{{- define "slopewatch.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 30
  timeoutSeconds: 25
  failureThreshold: 2
{{- end -}}

{{- define "slopewatch.resources" -}}
{{- $gpu := .values.gpu | default dict -}}
{{- if $gpu.enabled -}}
{{- mergeOverwrite (deepCopy .values.resources) (dict "limits" (dict $gpu.resource (int $gpu.count))) | toYaml -}}
{{- else -}}
{{- toYaml .values.resources -}}
{{- end -}}
{{- end -}}
