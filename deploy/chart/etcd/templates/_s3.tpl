{{/* How etcd-agent's backup and restore find a store: the same words for both. */}}
{{- define "etcd.s3-env" -}}
- name: S3_ENDPOINT
  value: {{ .endpoint | quote }}
- name: S3_BUCKET
  value: {{ .bucket | quote }}
- name: S3_PREFIX
  value: {{ .prefix | quote }}
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
{{- end -}}
