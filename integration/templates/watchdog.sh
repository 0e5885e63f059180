# Waits for the end of its input, which is the end of the lab's process; $1 is the lab's folder.
# Then ends the containers whose process ids the NodeManager has written down, and no others: the
# id is used only if that process's command line names the lab's folder.
read -r _
end_containers() {
  for note in "$1"/data/nm*/local/nmPrivate/*/*/*.pid; do
    [ -f "$note" ] || continue
    pid=$(cat "$note")
    if tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -e "$1/"; then
      kill -s KILL -- "-$pid"
    fi
  done
}
end_containers "$1"
# One may have been on its way when the NodeManager died.
if [ -d "$1/data/nm1" ]; then
  sleep 0.3
  end_containers "$1"
fi
