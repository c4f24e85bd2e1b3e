{{/*
Before a member starts for the first time. The agent decides whether there is anything to do: only for ordinal 0, only where there
is no data, only while no claim of the release belongs to a cluster.
*/}}
{{- define "etcd.restore-container" -}}
- name: restore
  image: {{ include "etcd.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [etcd-agent, restore]
  workingDir: /var/tmp/etcd
  securityContext:
    {{- include "etcd.container-security" . | nindent 4 }}
  resources:
    {{- toYaml .Values.restore.resources | nindent 4 }}
  env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: POD_NAMESPACE
    valueFrom:
      fieldRef:
        fieldPath: metadata.namespace
  - name: STATEFULSET
    value: {{ include "etcd.name" . }}
  - name: HEADLESS_SERVICE
    value: {{ include "etcd.headless" . }}
  - name: DNS_BASE
    value: {{ .Values.service.dnsBase }}
  - name: POD_SELECTOR
    value: app.kubernetes.io/name={{ .Release.Name }},release={{ .Release.Name }}
  - name: PEER_PORT
    value: {{ int .Values.service.peerPort | quote }}
  - name: PEER_SCHEME
    value: https
  - name: ETCD_DATA_DIR
    value: /var/run/etcd/data
  - name: ETCD_INITIAL_CLUSTER_TOKEN
    value: etcd-cluster-k8s
  - name: RESTORE_SNAPSHOT
    value: {{ .Values.restore.snapshot | quote }}
  {{- if eq .Values.restore.source "s3" }}
  {{- include "etcd.s3-env" .Values.restore.s3 | nindent 2 }}
  {{- else }}
  - name: BACKUP_DIR
    value: /backup
  {{- end }}
  volumeMounts:
  - name: data
    mountPath: /var/run/etcd
  - name: work
    mountPath: /var/tmp/etcd
  {{- if eq .Values.restore.source "pvc" }}
  - name: backup
    mountPath: /backup
    readOnly: true
  {{- else }}
  {{- include "etcd.s3-mount" .Values.restore.s3 | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "etcd.restore-volumes" -}}
{{- if and .Values.restore.enabled (eq .Values.restore.source "pvc") -}}
- name: backup
  persistentVolumeClaim:
    claimName: {{ .Values.restore.pvc.existingClaim }}
    readOnly: true
{{- else if .Values.restore.enabled -}}
{{ include "etcd.s3-volume" .Values.restore.s3 }}
{{- end -}}
{{- end -}}
