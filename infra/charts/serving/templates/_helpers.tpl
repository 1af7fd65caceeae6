{{- define "serving.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
{{ include "serving.pods" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: feira
{{- end }}

{{/* What a selector takes: it may never change. */}}
{{- define "serving.pods" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: api
{{- end }}
