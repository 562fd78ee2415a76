{{- define "pluto-proxy.selector" -}}
app.kubernetes.io/name: pluto-proxy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pluto-proxy.metadata" -}}
name: {{ .Release.Name }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "pluto-proxy.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "pluto-proxy.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The names that clients in the cluster know the Service by, and those of the values. */}}
{{- define "pluto-proxy.hosts" -}}
{{- $name := .Release.Name -}}
{{- $inNamespace := printf "%s.%s" $name .Release.Namespace -}}
{{- concat (list $name $inNamespace (printf "%s.svc" $inNamespace) (printf "%s.svc.cluster.local" $inNamespace)) .Values.allowedHosts | join "," -}}
{{- end }}

{{/* What a probe of a port with TLS says besides. */}}
{{- define "pluto-proxy.probe" -}}
{{- if .Values.tlsSecretName }}, scheme: HTTPS{{ end -}}
{{- end }}
