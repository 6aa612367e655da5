{{/* nats.conf. Words with a dollar sign are variables of the environment, which nats-server fills in. */}}
{{- define "broadcast.natsConfig" -}}
{{- $name := printf "%s-nats" (include "broadcast.fullname" .) -}}
{{- $values := .Values.nats -}}
server_name: $POD_NAME
listen: "0.0.0.0:4222"
http: "0.0.0.0:8222"
pid_file: "/var/run/nats/nats.pid"
lame_duck_grace_period: "10s"
lame_duck_duration: "{{ $values.lameDuckSeconds }}s"
{{- with $values.serverTags }}
server_tags: {{ toJson . }}
{{- end }}
{{- if not $values.leafNodes.remotes }}
jetstream {
  store_dir: "/data"
  {{- if or $values.gateway.name $values.leafNodes.accept }}
  # By it leaf nodes find the streams, wherever in the super-cluster they are.
  domain: "{{ $values.domain }}"
  {{- end }}
  max_file_store: {{ $values.storage.maxFileStore }}
  max_memory_store: {{ $values.storage.maxMemoryStore }}
  sync_interval: {{ $values.syncInterval | quote }}
}
{{- end }}
{{- if $values.leafNodes.remotes }}
# What is asked of JetStream here goes to where the streams are.
default_js_domain: {"$G": "{{ $values.domain }}"}
{{- else if $values.gateway.name }}
# Servers with gateways and leaf nodes do not start without one, and in a super-cluster all have to have the same.
accounts: {SYS: {}}
system_account: SYS
{{- end }}
{{- if or (gt (int $values.replicas) 1) $values.gateway.name }}
cluster {
  # A gateway is refused that has another name than its cluster.
  name: "{{ default $name $values.gateway.name }}"
  listen: "0.0.0.0:6222"
  # Addresses of pods change; clients come back to the names they were given.
  no_advertise: true
  {{- if $values.auth }}
  authorization: $NATS_ROUTES_LOGIN
  routes: $NATS_ROUTES
  {{- else }}
  routes: {{ include "broadcast.natsRoutes" (list . "") }}
  {{- end }}
}
{{- end }}
{{- if $values.auth }}
authorization: $NATS_LOGIN
{{- end }}
{{- with $values.gateway }}
{{- if .name }}
gateway {
  name: "{{ .name }}"
  listen: "0.0.0.0:7222"
  # A name that nobody configured here is refused, and not taken for one more site.
  reject_unknown_cluster: true
  {{- with .advertise }}
  advertise: "{{ . }}"
  {{- end }}
  {{- with .tls }}
  tls: {{ toJson . }}
  {{- end }}
  gateways: {{ toJson .remotes }}
}
{{- end }}
{{- end }}
{{- with $values.leafNodes }}
{{- if or .accept .remotes }}
leafnodes {
  {{- if .accept }}
  listen: "0.0.0.0:7422"
  {{- with .advertise }}
  advertise: "{{ . }}"
  {{- end }}
  {{- with .tls }}
  tls: {{ toJson . }}
  {{- end }}
  {{- end }}
  {{- if .remotes }}
  remotes: {{ toJson .remotes }}
  {{- end }}
}
{{- end }}
{{- end }}
{{- with $values.extraConfig }}
{{ . | trim }}
{{- end }}
{{- end -}}

{{/* Where the servers find each other, as a JSON list; call with a list of the root and the login, "" for none. */}}
{{- define "broadcast.natsRoutes" -}}
{{- $name := printf "%s-nats" (include "broadcast.fullname" (first .)) -}}
{{- $routes := list -}}
{{- range until (int (first .).Values.nats.replicas) -}}
{{- $routes = append $routes (printf "nats://%s%s-%d.%s-headless:6222" (last $) $name . $name) -}}
{{- end -}}
{{- toJson $routes -}}
{{- end -}}

{{/* Environment of the servers where clients log in. */}}
{{- define "broadcast.natsLogins" -}}
{{- range list "BROADCAST_BROKER_NATS_USER" "BROADCAST_BROKER_NATS_PASSWORD" "NATS_ROUTES_PASSWORD" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ include "broadcast.secretName" $ }}
      key: {{ . }}
{{- end }}
# Quoted, since a server reads what it finds in a variable as configuration: 12k would be a number, $x another variable.
- name: NATS_LOGIN
  value: "{user: '$(BROADCAST_BROKER_NATS_USER)', password: '$(BROADCAST_BROKER_NATS_PASSWORD)'}"
# Whoever may come as a server needs no password. Of its own: a server with another one than the rest is alone, and
# the clients' can be changed with one server after the other.
- name: NATS_ROUTES_LOGIN
  value: "{user: routes, password: '$(NATS_ROUTES_PASSWORD)'}"
- name: NATS_ROUTES
  value: {{ include "broadcast.natsRoutes" (list . "routes:$(NATS_ROUTES_PASSWORD)@") | quote }}
{{- end -}}

{{/* Ports by which other sites come, as YAML: name -> number. */}}
{{- define "broadcast.sitePorts" -}}
{{- $ports := dict -}}
{{- if .Values.nats.gateway.name -}}
{{- $_ := set $ports "gateway" 7222 -}}
{{- end -}}
{{- if .Values.nats.leafNodes.accept -}}
{{- $_ := set $ports "leafnodes" 7422 -}}
{{- end -}}
{{- toYaml $ports -}}
{{- end -}}
