#!/bin/bash
# Health check: requests SPNEGATE_HEALTH (host:port/path) over plain HTTP in bash, since the image
# has no curl. Exit status 0 if the response is 200.
set -eu
where=${SPNEGATE_HEALTH:-127.0.0.1:9095/health}
authority=${where%%/*}
exec 3<>"/dev/tcp/${authority%:*}/${authority##*:}"
printf 'GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "${where#*/}" "$authority" >&3
read -r -t 4 _ status _ <&3
[ "$status" = 200 ]
