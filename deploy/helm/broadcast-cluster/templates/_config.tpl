{{/* A time span of the program's config ("90s", "1m30s", "500ms", 30) in whole seconds, rounded up. */}}
{{- define "broadcast.seconds" -}}
{{- $text := trim (toString .) -}}
{{- $sum := 0.0 -}}
{{- if regexMatch "^[0-9]+([.][0-9]+)?$" $text -}}
{{- $sum = float64 $text -}}
{{- else if regexMatch "^(([0-9]+([.][0-9]+)?|[.][0-9]+)(ms|s|m|h))+$" $text -}}
{{- $seconds := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 -}}
{{- range regexFindAll "[0-9.]+(ms|s|m|h)" $text -1 -}}
{{- $unit := regexFind "(ms|s|m|h)$" . -}}
{{- $sum = addf $sum (mulf (float64 (trimSuffix $unit .)) (get $seconds $unit)) -}}
{{- end -}}
{{- else -}}
{{- fail (printf "config.shutdown.timeout is %q, which is not a time span: write 60s, 1m30s or a number of seconds" $text) -}}
{{- end -}}
{{- int64 (ceil $sum) -}}
{{- end -}}

{{/* config.shutdown.timeout in whole seconds; 30 s is the program's own default. */}}
{{- define "broadcast.shutdownSeconds" -}}
{{- include "broadcast.seconds" (dig "shutdown" "timeout" "30s" .Values.config) -}}
{{- end -}}

{{/* Ports by their name in the config; a port that the system chooses could not be put into a Service. */}}
{{- define "broadcast.port" -}}
{{- $path := last . -}}
{{- $section := index (dict "http" (list "http_server" "port" 8000) "grpc" (list "grpc_server" "port" 10000) "control" (list "coordinator" "port" 7000) "control-grpc" (list "coordinator" "grpc_port" 7001)) $path -}}
{{- $port := int (dig (index $section 0) (index $section 1) (index $section 2) (first .).Values.config) -}}
{{- if not (and (ge $port 1024) (le $port 65535)) -}}
{{- fail (printf "config.%s.%s is %d: give a port from 1024 to 65535, since pods have no right to lower ones and Services need to know it" (index $section 0) (index $section 1) $port) -}}
{{- end -}}
{{- $port -}}
{{- end -}}

{{/* How the nodes' HTTP port is spoken to. */}}
{{- define "broadcast.scheme" -}}
{{- ternary "https" "http" (dig "http_server" "tls" "enabled" false .Values.config) -}}
{{- end -}}

{{/* How the coordinator's HTTP port is spoken to. */}}
{{- define "broadcast.coordinatorScheme" -}}
{{- ternary "https" "http" (or (not (empty .Values.coordinator.tlsSecret)) (dig "coordinator" "tls" "enabled" false .Values.config)) -}}
{{- end -}}

{{/* "true" where nodes are spoken to over QUIC too, on the UDP port of the same number. */}}
{{- define "broadcast.http3" -}}
{{- if dig "http_server" "http3" "enabled" false .Values.config -}}true{{- end -}}
{{- end -}}

{{- define "broadcast.natsUrl" -}}
{{- $name := printf "%s-nats" (include "broadcast.fullname" .) -}}
{{- $urls := list -}}
{{- range until (int .Values.nats.replicas) -}}
{{- $urls = append $urls (printf "nats://%s-%d.%s-headless:4222" $name . $name) -}}
{{- end -}}
{{- join "," $urls -}}
{{- end -}}

{{/* The program's configuration file: what the chart knows, below what is in .Values.config. */}}
{{- define "broadcast.config" -}}
{{- $known := dict -}}
{{- if .Values.nats.enabled -}}
{{- $copies := ternary 3 1 (ge (int .Values.nats.replicas) 3) -}}
{{- $known = dict "broker" (dict "nats" (dict "url" (include "broadcast.natsUrl" .) "stream_replicas" $copies)) -}}
{{- end -}}
{{- if .Values.consul.url -}}
{{- $_ := set $known "catalog" (dict "type" "consul" "consul" (dict "url" .Values.consul.url)) -}}
{{- end -}}
{{- if include "broadcast.http3" . -}}
{{- $_ := set $known "http_server" (dict "http3" (dict "announced_port" (int .Values.service.port))) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $known (deepCopy .Values.config)) -}}
{{- end -}}
