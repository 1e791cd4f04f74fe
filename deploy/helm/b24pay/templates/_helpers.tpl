{{- define "b24pay.name" -}}
{{- printf "%s-b24pay" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "b24pay.labels" -}}
app.kubernetes.io/name: b24pay
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "b24pay.selector" -}}
app.kubernetes.io/name: b24pay
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "b24pay.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "b24pay.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "b24pay.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "b24pay.environment" -}}
- name: B24PAY_SECRET_KEYS
  valueFrom: {secretKeyRef: {name: {{ .Values.secrets.keys | quote }}, key: B24PAY_SECRET_KEYS}}
- {name: B24PAY_LOG_FORMAT, value: json}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- define "b24pay.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.secrets.tls }}
- {name: tls, mountPath: /etc/b24pay/tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "b24pay.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if .Values.secrets.tls }}
- name: tls
  secret: {secretName: {{ .Values.secrets.tls | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{- define "b24pay.spread" -}}
- maxSkew: 1
  topologyKey: topology.kubernetes.io/zone
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "b24pay.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "b24pay.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
{{- end }}
