{{/* How etcd-agent's backup and restore find a store: the same words for both. */}}
{{- define "etcd.s3-env" -}}
- name: S3_ENDPOINT
  value: {{ .endpoint | quote }}
- name: S3_BUCKET
  value: {{ .bucket | quote }}
- name: S3_PREFIX
  value: {{ if .prefix }}{{ printf "%s/" (trimSuffix "/" .prefix) | quote }}{{ else }}""{{ end }}
- name: S3_REGION
  value: {{ .region | quote }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: access-key-id
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: secret-access-key
{{- if .caKey }}
- name: S3_CACERT
  value: /etc/etcd/s3/ca.crt
{{- end }}
{{- end -}}

{{- define "etcd.s3-mount" -}}
{{- if .caKey -}}
- name: s3
  mountPath: /etc/etcd/s3
  readOnly: true
{{- end -}}
{{- end -}}

{{- define "etcd.s3-volume" -}}
{{- if .caKey -}}
- name: s3
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: 0440
    items:
    - key: {{ .caKey }}
      path: ca.crt
{{- end -}}
{{- end -}}
