{{/* What the schema cannot say, refused with a sentence before anything is rendered. */}}
{{- define "slopewatch.checks" -}}
{{- include "slopewatch.checkAddresses" . -}}
{{- include "slopewatch.checkScale" . -}}
{{- include "slopewatch.checkFiles" . -}}
{{- include "slopewatch.checkVariables" . -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository is empty: name the registry that you pushed the image to (docs/image.md)" -}}
{{- end -}}
{{- if and (not .Values.sites) (not .Values.existingSitesConfigMap) -}}
{{- fail "there is no site: give their files in sites, or name a ConfigMap in existingSitesConfigMap" -}}
{{- end -}}
{{- if and .Values.sites .Values.existingSitesConfigMap -}}
{{- fail "sites and existingSitesConfigMap are both given: keep one" -}}
{{- end -}}
{{- if and .Values.projector.enabled (not .Values.settings.projection) -}}
{{- fail "projector.enabled needs settings.projection: postgresql://user@host/database" -}}
{{- end -}}
{{- end -}}

{{/* Pods share nothing but the network, so every store is one that they all reach. */}}
{{- define "slopewatch.checkAddresses" -}}
{{- $settings := .Values.settings -}}
{{- range $name, $forms := dict "log" (list "kafka://") "ledger" (list "postgresql://") "projection" (list "postgresql://") "artifacts" (list "s3://") "memory" (list "s3://") "state" (list "s3://" "file:///data/") -}}
{{- $address := index $settings $name | default "" -}}
{{- $fits := false -}}
{{- range $forms }}{{ if hasPrefix . $address }}{{ $fits = true }}{{ end }}{{ end -}}
{{- if and (not $fits) (or $address (ne $name "projection")) -}}
{{- fail (printf "settings.%s must begin with %s: pods share nothing but the network" $name (join " or " $forms)) -}}
{{- end -}}
{{- $plain := first (splitList "?" $address) | trimPrefix "postgresql://" -}}
{{- if or (and (eq $name "log") (contains "@" $plain)) (regexMatch "^[^@/]*:[^@/]*@" $plain) -}}
{{- fail (printf "settings.%s holds a login: put the password into a Secret and name it in secrets.%s" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if and (regexMatch "[?&]user=" $settings.log) (not (hasKey .Values.secrets.log "SLOPEWATCH_KAFKA_PASSWORD")) -}}
{{- fail "settings.log names a user: name the Secret of its password in secrets.log.SLOPEWATCH_KAFKA_PASSWORD" -}}
{{- end -}}
{{- with $settings.smtp -}}
{{- $variable := default "SLOPEWATCH_SMTP_PASSWORD" .password_env -}}
{{- if and .user (not (hasKey $.Values.secrets.notifiers $variable)) -}}
{{- fail (printf "settings.smtp names a user: name the Secret of its password in secrets.notifiers.%s" $variable) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "slopewatch.checkScale" -}}
{{- $partitions := int (dig "topics" "partitions" 8 .Values.settings) -}}
{{- range $part := list "inference" "alerting" -}}
{{- $replicas := int (index $.Values $part "replicas") -}}
{{- if gt $replicas $partitions -}}
{{- fail (printf "%s.replicas is %d, but %d partitions (settings.topics.partitions) give work to no more than %d pods" $part $replicas $partitions $partitions) -}}
{{- end -}}
{{- end -}}
{{- if hasPrefix "file://" .Values.settings.state -}}
{{- if gt (int .Values.inference.replicas) 1 -}}
{{- fail "settings.state is a folder of one pod: several inference.replicas need s3://bucket/prefix" -}}
{{- end -}}
{{- if not .Values.inference.persistence.enabled -}}
{{- fail "settings.state is a folder: set inference.persistence.enabled, or every restart reads years of history again" -}}
{{- end -}}
{{- end -}}
{{- $step := float64 (default "300" (regexFind "[?&]poll_s=[0-9.]+" .Values.settings.log | regexFind "[0-9.]+$")) -}}
{{- range $part := list "inference" "alerting" "projector" -}}
{{- $grace := float64 (index $.Values $part "terminationGracePeriodSeconds") -}}
{{- if le $grace $step -}}
{{- fail (printf "%s.terminationGracePeriodSeconds is %v: a pod may need poll_s (%v s) to end its step before it hands its partitions over, so give it more" $part $grace $step) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Files that settings name must be mounted. */}}
{{- define "slopewatch.checkFiles" -}}
{{- range $group := list "log" "ledger" "projection" -}}
{{- $known := list -}}
{{- range index $.Values.certificates $group }}{{ $known = concat $known .keys }}{{ end -}}
{{- range regexFindAll "[?&](ca|cert|key)=[^&]+" (index $.Values.settings $group | default "") -1 -}}
{{- $file := regexReplaceAll "^[?&][a-z]+=" . "" | replace "%2F" "/" -}}
{{- $folder := printf "/etc/slopewatch/certificates/%s/" $group -}}
{{- if not (and (hasPrefix $folder $file) (has (trimPrefix $folder $file) $known)) -}}
{{- fail (printf "settings.%s names the file %s: list its key in certificates.%s, which lies at %s" $group $file $group $folder) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $mounted := list -}}
{{- range .Values.alerting.volumeMounts }}{{ $mounted = append $mounted .mountPath }}{{ end -}}
{{- with .Values.settings.cap_folder -}}
{{- if not (has . $mounted) -}}
{{- fail (printf "settings.cap_folder: mount a disk that stays at %s, with alerting.volumes and alerting.volumeMounts" .) -}}
{{- end -}}
{{- if gt (int $.Values.alerting.replicas) 1 -}}
{{- fail "settings.cap_folder needs one of alerting.replicas: of two, each would write half of the feed" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "slopewatch.checkVariables" -}}
{{- range $name, $_ := .Values.env -}}
{{- if regexMatch "PASSWORD|SECRET|TOKEN|CREDENTIAL|(^|_)KEY(_|$)" $name -}}
{{- fail (printf "env.%s looks like a secret: name the Secret that holds it in secrets" $name) -}}
{{- end -}}
{{- if hasPrefix "SLOPEWATCH_" $name -}}
{{- fail (printf "env.%s is a setting: write it in settings, where it is checked" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
