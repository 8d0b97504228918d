{{/*
What each part reaches. A group of secrets and certificates goes only to the parts that are listed
with it, and the network lets a part through to its own `reaches` alone.
*/}}
{{- define "slopewatch.parts" -}}
ingest: {secrets: [log, store, feeds], reaches: [log, store, outside]}
{{- /* A state on a disk is seen by inference alone, so backups are made there, and need the ledger. */}}
{{- $ledger := ternary "ledger, " "" (hasPrefix "file:" .Values.settings.state) }}
inference: {secrets: [log, {{ $ledger }}store], reaches: [log, {{ $ledger }}store]}
alerting: {secrets: [log, ledger, store, notifiers], reaches: [log, ledger, store, mail, outside]}
projector:
  secrets: [log, ledger, projection, store, notifiers, feeds]
  reaches: [log, ledger, projection, store, mail, outside]
watchdog: {secrets: [store, notifiers], reaches: [store, mail, outside]}
training: {secrets: [log, store], reaches: [log, store]}
migration: {secrets: [log, ledger, projection], reaches: [log, ledger, projection]}
doctor:
  secrets: [log, ledger, projection, store, notifiers, feeds]
  reaches: [log, ledger, projection, store, mail, outside]
{{- end -}}

{{/* Whether models are fitted here: where Airflow asks the feeds its DAG retrain does it. */}}
{{- define "slopewatch.trains" -}}
{{- if and .Values.training.enabled .Values.ingest.enabled -}}true{{- end -}}
{{- end -}}

{{/* Ports of an address group, as JSON: they follow from the addresses, so none can be forgotten. */}}
{{- define "slopewatch.ports" -}}
{{- $settings := .root.Values.settings -}}
{{- $ports := list -}}
{{- if eq .group "log" -}}
{{- range regexFindAll ":[0-9]+" (first (splitList "?" $settings.log)) -1 -}}
{{- $ports = append $ports (trimPrefix ":" . | int) -}}
{{- end -}}
{{- else if has .group (list "ledger" "projection") -}}
{{- $url := index $settings .group | default "" -}}
{{- $found := regexFind ":[0-9]+(/|$)" (get (urlParse $url) "host") -}}
{{- $ports = append $ports (default "5432" (trimPrefix ":" $found) | int) -}}
{{- else if eq .group "store" -}}
{{- range list $settings.state $settings.artifacts $settings.memory -}}
{{- if hasPrefix "s3://" . -}}
{{- $endpoint := regexFind "endpoint=[^&]+" . | replace "%3A" ":" | replace "%2F" "/" | trimPrefix "endpoint=" -}}
{{- $port := trimPrefix ":" (regexFind ":[0-9]+" (trimPrefix "http:" (trimPrefix "https:" $endpoint))) -}}
{{- $ports = append $ports (default (ternary "80" "443" (hasPrefix "http:" $endpoint)) $port | int) -}}
{{- end -}}
{{- end -}}
{{- else if eq .group "mail" -}}
{{- $ports = append $ports (get (default (dict) $settings.smtp) "port" | default 25 | int) -}}
{{- else -}}
{{- range .root.Values.networkPolicy.outsidePorts -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}
