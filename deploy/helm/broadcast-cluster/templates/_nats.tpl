{{/* nats.conf. Names with a dollar sign are variables of the environment, which nats-server fills in. */}}
{{- define "broadcast.natsConfig" -}}
{{- $name := printf "%s-nats" (include "broadcast.fullname" .) -}}
{{- $values := .Values.nats -}}
server_name: $POD_NAME
listen: "0.0.0.0:4222"
http: "0.0.0.0:8222"
pid_file: "/var/run/nats/nats.pid"
lame_duck_grace_period: "10s"
lame_duck_duration: "{{ $values.lameDuckSeconds }}s"
jetstream {
  store_dir: "/data"
  max_file_store: {{ $values.storage.maxFileStore }}
  max_memory_store: {{ $values.storage.maxMemoryStore }}
  sync_interval: {{ $values.syncInterval | quote }}
}
{{- if gt (int $values.replicas) 1 }}
cluster {
  name: "{{ $name }}"
  listen: "0.0.0.0:6222"
  # Addresses of pods change; clients come back to the names they were given.
  no_advertise: true
  routes: [
    {{- range until (int $values.replicas) }}
    "nats://{{ $name }}-{{ . }}.{{ $name }}-headless:6222"
    {{- end }}
  ]
}
{{- end }}
{{- if $values.auth }}
authorization {
  user: $BROADCAST_BROKER_NATS_USER
  password: $BROADCAST_BROKER_NATS_PASSWORD
}
{{- end }}
{{- with $values.extraConfig }}
{{ . | trim }}
{{- end }}
{{- end -}}
