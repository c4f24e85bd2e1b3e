{{/*
What no schema can say in words, and what Helm 2, which reads no schema, has to be told. The first fault ends the rendering with
one line: the key, what is wrong with it, what would be right.
*/}}
{{- define "etcd.check" -}}
{{- $v := .Values -}}
{{- if not $v.image.repo }}{{ fail "image.repo is empty: which image shall the members run? For example image.repo=registry.example/etcd" }}{{ end -}}
{{- $replicas := int $v.replicas -}}
{{- if or (lt $replicas 1) (gt $replicas 7) }}{{ fail (printf "replicas=%d: 1, 3, 5 or 7 members" $replicas) }}{{ end -}}
{{- if eq (mod $replicas 2) 0 }}{{ fail (printf "replicas=%d is even: %d members survive as many failures, with less to go wrong; use 1, 3, 5 or 7" $replicas (sub $replicas 1)) }}{{ end -}}
{{- if not (regexMatch "^[1-9][0-9]*(\\.[0-9]+)?[TGM]i?$" (toString $v.persistence.size)) -}}
{{- fail (printf "persistence.size=%v is no size: a number and M, G, T, Mi, Gi or Ti, such as 1Gi or 1.5T" $v.persistence.size) -}}
{{- end -}}
{{- if gt (len (include "etcd.name" .)) 45 }}{{ fail (printf "the release's name %s is too long: at most 40 letters, for the pods' names" .Release.Name) }}{{ end -}}
{{- range $side := list "client" "peer" -}}
{{- $tls := index $v.tls $side -}}
{{- if and (eq $tls.mode "secret") (not $tls.existingSecret) }}{{ fail (printf "tls.%s.mode=secret needs tls.%s.existingSecret: a secret with tls.crt, tls.key and ca.crt" $side $side) }}{{ end -}}
{{- if and (ne $tls.mode "secret") $tls.existingSecret }}{{ fail (printf "tls.%s.existingSecret is used with tls.%s.mode=secret only; the mode is %s" $side $side $tls.mode) }}{{ end -}}
{{- if and (eq $tls.mode "cert-manager") (not $v.tls.certManager.issuerRef.name) }}{{ fail (printf "tls.%s.mode=cert-manager needs tls.certManager.issuerRef.name" $side) }}{{ end -}}
{{- end -}}
{{- if and $v.tls.client.clientCertAuth (eq $v.tls.client.mode "none") }}{{ fail "tls.client.clientCertAuth needs a tls.client.mode other than none" }}{{ end -}}
{{- if and $v.auth.rbac.existingSecret $v.auth.rbac.rootPassword }}{{ fail "auth.rbac.rootPassword and auth.rbac.existingSecret are both set: the password can come from one place only" }}{{ end -}}
{{- if gt (len (toString $v.auth.rbac.rootPassword)) 72 }}{{ fail "auth.rbac.rootPassword has more than 72 bytes: bcrypt takes no more" }}{{ end -}}
{{- if and (or $v.metrics.exporter.enabled $v.metrics.enabled) (not $v.metrics.image) }}{{ fail "metrics.exporter.enabled needs metrics.image, the image of prometheus-to-sd" }}{{ end -}}
{{- if lt (len (uniq (list (int $v.service.port) (int $v.service.peerPort) (int $v.metrics.port) (int $v.probes.port)))) 4 }}{{ fail "service.port, service.peerPort, metrics.port and probes.port must differ" }}{{ end -}}
{{- if and $v.backup.enabled (eq $v.backup.destination "s3") }}{{ include "etcd.check-s3" (dict "s3" $v.backup.s3 "key" "backup.s3") }}{{ end -}}
{{- if $v.restore.enabled -}}
{{- if eq $v.restore.source "s3" }}{{ include "etcd.check-s3" (dict "s3" $v.restore.s3 "key" "restore.s3") -}}
{{- else if not $v.restore.pvc.existingClaim }}{{ fail "restore.source=pvc needs restore.pvc.existingClaim, the claim that has the snapshot" }}
{{- else if and (gt $replicas 1) (not $v.restore.pvc.shared) }}{{ fail (printf "restore.pvc with replicas=%d would bind all members to the claim's node: restore with replicas=1 and scale then, or set restore.pvc.shared=true if the claim can be mounted on all nodes at once" $replicas) }}{{ end -}}
{{- end -}}
{{- $own := "^(name|data-dir|wal-dir|listen-.*|advertise-.*|initial-.*|discovery.*|cert-file|key-file|client-cert-auth|trusted-ca-file|auto-tls|peer-.*|.*-transport-security|quota-backend-bytes|force-new-cluster|config-file)$" -}}
{{- range $key, $value := $v.config -}}
{{- if regexMatch $own $key }}{{ fail (printf "config.%s is set by the chart from other values" $key) }}{{ end -}}
{{- if or (kindIs "map" $value) (kindIs "slice" $value) }}{{ fail (printf "config.%s: one value, as its flag takes it" $key) }}{{ end -}}
{{- end -}}
{{- range $key, $value := $v.configFile | default "" | fromYaml -}}
{{- if eq $key "Error" }}{{ fail (printf "configFile is no map of settings in YAML: %v" $value) }}{{ end -}}
{{- if regexMatch $own $key }}{{ fail (printf "configFile: %s is set by the chart from other values" $key) }}{{ end -}}
{{- if kindIs "map" $value }}{{ fail (printf "configFile: %s: one value or a list, as its flag takes it" $key) }}{{ end -}}
{{- end -}}
{{- range $flag := $v.extraArgs -}}
{{- $key := regexFind "^[^=]*" (trimPrefix "--" $flag) -}}
{{- if regexMatch $own $key }}{{ fail (printf "extraArgs: --%s is set by the chart from other values" $key) }}{{ end -}}
{{- end -}}
{{- $names := dict -}}
{{- range $e := $v.extraEnv -}}
{{- $key := trimPrefix "ETCD_" $e.name | lower | replace "_" "-" -}}
{{- if or (hasKey $names $e.name) (and (hasPrefix "ETCD_" $e.name) (or (eq $key "root-password") (regexMatch $own $key))) }}{{ fail (printf "extraEnv: %s is there twice, or set by the chart from other values" $e.name) }}{{ end -}}
{{- $_ := set $names $e.name true -}}
{{- end -}}
{{- end -}}

{{- define "etcd.check-s3" -}}
{{- range $field := list "endpoint" "bucket" "existingSecret" -}}
{{- if not (index $.s3 $field) }}{{ fail (printf "%s.%s is empty" $.key $field) }}{{ end -}}
{{- end -}}
{{- if not (regexMatch "^https?://[^/]+/?$" .s3.endpoint) }}{{ fail (printf "%s.endpoint=%s: https://HOST or https://HOST:PORT" .key .s3.endpoint) }}{{ end -}}
{{- end -}}
