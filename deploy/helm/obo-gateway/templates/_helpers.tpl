{{- define "obo.name" -}}
{{- if contains "obo-gateway" .Release.Name }}{{ .Release.Name | trunc 48 | trimSuffix "-" }}{{ else }}{{ printf "%s-obo-gateway" .Release.Name | trunc 48 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "obo.selector" -}}
app.kubernetes.io/name: obo-gateway
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "obo.labels" -}}
{{ include "obo.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "obo.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "obo.name" .) }}
{{- end }}

{{- define "obo.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}

{{- /* For whom the federated token is. `--reuse-values` of an older chart brings none. */ -}}
{{- define "obo.audience" -}}
{{ .Values.credential.audience | default "api://AzureADTokenExchange" }}
{{- end }}

{{- /* What no template can do without, each said by its name. */ -}}
{{- define "obo.needed" -}}
{{- $webhook := eq .Values.credential.kind "webhook" }}
{{- if not (or $webhook .Values.entra.tenant) }}{{ fail "entra.tenant is needed: the GUID of the tenant whose users call" }}{{ end }}
{{- if not .Values.entra.clientId }}{{ fail "entra.clientId is needed: the client id of the API's app registration" }}{{ end }}
{{- if and (eq .Values.credential.kind "secret") (not .Values.credential.secretName) }}{{ fail "credential.secretName is needed with kind secret" }}{{ end }}
{{- if and (eq .Values.mode "standalone") (not .Values.upstream) }}{{ fail "upstream is needed with mode standalone: the address of the service, https://…" }}{{ end }}
{{- if and (eq .Values.mode "standalone") .Values.app }}{{ fail "app is for mode sidecar" }}{{ end }}
{{- if and (eq .Values.mode "sidecar") (not .Values.app) }}{{ fail "app is needed with mode sidecar: the service's container" }}{{ end }}
{{- if and (eq .Values.mode "sidecar") .Values.app.ports }}{{ fail "app.ports: callers reach the gateway's port alone; the service listens on 127.0.0.1" }}{{ end }}
{{- if and (eq (toString .Values.serviceAccount.create) "false") (not .Values.serviceAccount.name) }}{{ fail "serviceAccount.name is needed where serviceAccount.create is false" }}{{ end }}
{{- if and .Values.autoscaling.enabled (eq .Values.mode "sidecar") (not (or (dig "resources" "requests" "cpu" "" .Values.app) (dig "resources" "limits" "cpu" "" .Values.app))) }}{{ fail "app.resources.requests.cpu is needed with autoscaling, which goes by it" }}{{ end }}
{{- if eq .Values.credential.kind "federated" }}
{{- $audiences := dict "https://login.microsoftonline.us" "api://AzureADTokenExchangeUSGov" "https://login.partner.microsoftonline.cn" "api://AzureADTokenExchangeChina" "https://login.microsoftonline.com" "api://AzureADTokenExchange" "" "api://AzureADTokenExchange" }}
{{- $wanted := get $audiences (.Values.entra.authority | default "" | trimSuffix "/" | lower) }}
{{- if and $wanted (ne $wanted (include "obo.audience" .)) }}{{ fail (printf "credential.audience is %s in the cloud of entra.authority" $wanted) }}{{ end }}
{{- end }}
{{- if and .Values.redis.url (not .Values.redis.keySecretName) }}{{ fail "redis.keySecretName is needed with redis.url" }}{{ end }}
{{- if and .Values.redis.caConfigMap (not (hasPrefix "rediss" .Values.redis.url)) }}{{ fail "redis.caConfigMap is for a redis.url of rediss:// or rediss-cluster://" }}{{ end }}
{{- end }}

{{- define "obo.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "obo.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "obo.mounts" -}}
- { name: config, mountPath: /etc/obo-gateway, readOnly: true }
{{- if eq .Values.credential.kind "federated" }}
- { name: token, mountPath: /var/run/secrets/obo-gateway/tokens, readOnly: true }
{{- else if eq .Values.credential.kind "secret" }}
- { name: secret, mountPath: /run/secrets/entra, readOnly: true }
{{- end }}
{{- if .Values.redis.url }}
- { name: redis, mountPath: /run/secrets/redis, readOnly: true }
{{- if .Values.redis.caConfigMap }}
- { name: redis-authority, mountPath: /etc/redis-authority, readOnly: true }
{{- end }}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "obo.volumes" -}}
- name: config
  configMap: { name: {{ include "obo.name" . }} }
{{- if eq .Values.credential.kind "federated" }}
- name: token
  projected:
    sources:
      - serviceAccountToken:
          audience: {{ include "obo.audience" . }}
          expirationSeconds: 3600
          path: entra
{{- else if eq .Values.credential.kind "secret" }}
- name: secret
  secret:
    secretName: {{ .Values.credential.secretName }}
    defaultMode: 0440
    items:
      - { key: {{ .Values.credential.secretKey }}, path: client-secret }
{{- end }}
{{- if .Values.redis.url }}
- name: redis
  secret:
    secretName: {{ .Values.redis.keySecretName }}
    defaultMode: 0440
    items:
      - { key: key, path: key }
{{- if .Values.redis.caConfigMap }}
- name: redis-authority
  configMap:
    name: {{ .Values.redis.caConfigMap }}
    items:
      - { key: ca.crt, path: ca.crt }
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "obo.container" -}}
name: obo-gateway
image: {{ include "obo.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [--config=/etc/obo-gateway/gateway.toml]
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - { name: obo-http, containerPort: 8080 }
  - { name: obo-admin, containerPort: 9090 }
startupProbe:
  httpGet: { path: /livez, port: obo-admin }
  periodSeconds: 1
  failureThreshold: 30
readinessProbe:
  httpGet: { path: /readyz, port: obo-admin }
  periodSeconds: 5
livenessProbe:
  httpGet: { path: /livez, port: obo-admin }
  periodSeconds: 10
  timeoutSeconds: 3
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "obo.containerSecurity" . | nindent 2 }}
volumeMounts:
  {{- include "obo.mounts" . | nindent 2 }}
{{- end }}
