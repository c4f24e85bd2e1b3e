{{/* Names that other objects, the guide and the agent rely on. */}}
{{- define "etcd.name" -}}{{ .Release.Name }}-etcd{{- end -}}
{{- define "etcd.headless" -}}{{ .Release.Name }}-etcd-headless{{- end -}}
{{- define "etcd.domain" -}}{{ include "etcd.headless" . }}.{{ .Release.Namespace }}.{{ .Values.service.dnsBase }}{{- end -}}

{{- define "etcd.labels" -}}
app.kubernetes.io/name: {{ .Release.Name | quote }}
release: {{ .Release.Name | quote }}
{{- end -}}

{{/* Jobs carry other labels than members, so that no service, budget or policy for members takes them. */}}
{{- define "etcd.job-labels" -}}
app.kubernetes.io/name: {{ printf "%s-backup" .Release.Name | quote }}
release: {{ .Release.Name | quote }}
{{- end -}}

{{- define "etcd.tag" -}}{{ .Values.image.tag | default .Chart.AppVersion }}{{- end -}}
{{- define "etcd.image" -}}
{{- $tag := include "etcd.tag" . -}}
{{ .Values.image.repo }}{{ if hasPrefix "sha256:" $tag }}@{{ else }}:{{ end }}{{ $tag }}
{{- end -}}

{{- define "etcd.service-account" -}}
{{ .Values.serviceAccount.name | default (include "etcd.name" .) }}
{{- end -}}

{{- define "etcd.password-secret" -}}{{ .Values.auth.rbac.existingSecret | default (include "etcd.name" .) }}{{- end -}}
{{- define "etcd.password-key" -}}
{{- if .Values.auth.rbac.existingSecret }}{{ .Values.auth.rbac.existingSecretKey }}{{ else }}etcd-root-password{{ end -}}
{{- end -}}

{{- define "etcd.client-scheme" -}}{{ if eq .Values.tls.client.mode "none" }}http{{ else }}https{{ end }}{{- end -}}
{{- define "etcd.client-secret" -}}
{{- if eq .Values.tls.client.mode "secret" }}{{ .Values.tls.client.existingSecret }}{{ else }}{{ include "etcd.name" . }}-client-tls{{ end -}}
{{- end -}}
{{- define "etcd.peer-secret" -}}
{{- if eq .Values.tls.peer.mode "secret" }}{{ .Values.tls.peer.existingSecret }}{{ else }}{{ include "etcd.name" . }}-peer-tls{{ end -}}
{{- end -}}

{{/* DNS names that members and the client service answer to; one per line. */}}
{{- define "etcd.dns-names" -}}
{{- $name := include "etcd.name" . -}}
localhost
*.{{ include "etcd.domain" . }}
{{ include "etcd.domain" . }}
{{ $name }}
{{ $name }}.{{ .Release.Namespace }}
{{ $name }}.{{ .Release.Namespace }}.svc
{{ $name }}.{{ .Release.Namespace }}.{{ .Values.service.dnsBase }}
{{- end -}}

{{/* The pod's context of rights; root in nothing. */}}
{{- define "etcd.pod-security" -}}
runAsNonRoot: true
runAsUser: {{ int64 .Values.securityContext.runAsUser }}
runAsGroup: {{ int64 .Values.securityContext.runAsGroup }}
fsGroup: {{ int64 .Values.securityContext.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}
{{- define "etcd.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "etcd.pull-secrets" -}}
{{- if .Values.image.pullSecrets }}
imagePullSecrets:
{{- range .Values.image.pullSecrets }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
An object as the cluster has it, as YAML; nothing where there is no cluster to ask. Helm 2 knows no lookup and would refuse to
read a template that names it, so the name stands in a string that only newer ones evaluate.
*/}}
{{- define "etcd.lookup-secret" -}}
{{- if contains "HelmVersion:" (printf "%+v" .root.Capabilities) -}}
{{- tpl "{{ lookup \"v1\" \"Secret\" .Release.Namespace .wanted | toYaml }}" (merge (dict "wanted" .secret) (dict "Release" .root.Release "Template" .root.Template)) -}}
{{- else -}}
{}
{{- end -}}
{{- end -}}

{{/* Bytes of a quantity such as 1Gi or 1.5T, in whole numbers: Helm 2 has no others. */}}
{{- define "etcd.bytes" -}}
{{- $units := dict "M" 1000000 "Mi" 1048576 "G" 1000000000 "Gi" 1073741824 "T" 1000000000000 "Ti" 1099511627776 -}}
{{- $unit := int64 (index $units (regexFind "[TGM]i?$" .)) -}}
{{- $whole := regexFind "^[0-9]+" . -}}
{{- $tenth := regexFind "\\.[0-9]" . | trimPrefix "." | default "0" -}}
{{- add (mul (int64 $whole) $unit) (div (mul (int64 $tenth) $unit) 10) -}}
{{- end -}}

{{- define "etcd.quota" -}}
{{- if .Values.quotaBackendBytes -}}
{{ int64 .Values.quotaBackendBytes }}
{{- else -}}
{{ min 8589934592 (div (int64 (include "etcd.bytes" .Values.persistence.size)) 2) }}
{{- end -}}
{{- end -}}

{{/* A setting as its flag takes it. Numbers of a values file are floating point: 1e+06 is nothing that a flag takes. */}}
{{- define "etcd.scalar" -}}
{{- if kindIs "slice" . }}{{ join "," . }}{{ else if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}
