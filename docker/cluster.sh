#!/bin/bash
# The demo's cluster: starts the lab's servers, writes the gateway's keytab beside them and waits.
set -eu
keytab=/lab/gateway.keytab
rm -f "$keytab"
lab up demo
trap 'lab down; exit' TERM INT
http=$(lab principal HTTP/proxy.example.com)
own=$(lab principal spnegate/proxy.example.com)
spnegate keytab merge -o "$keytab" "$http" "$own"
cat <<TEXT

The cluster is up, and the gateway before it in a moment. Try:
  docker compose -f docker/compose.yaml exec cluster lab exec --as alice \\
    curl --negotiate -u : http://proxy.example.com:50070/webhdfs/v1/?op=GETHOMEDIRECTORY
  docker compose -f docker/compose.yaml exec cluster lab kill nn1
TEXT
sleep infinity &
wait
