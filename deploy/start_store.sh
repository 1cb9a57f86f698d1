#!/bin/sh
# Starts SeaweedFS once store-keys has written the keys, and makes it read them again after a change.
#
# Waiting here means that the store needs no depends_on. Docker Compose (seen with 2.26) restarts a service when one
# that it depends on has a new image, and store-keys has a new image after each upgrade.
keys=/keys/identities.json
until [ -s "$keys" ]; do sleep 0.2; done
known=$(cat "$keys") # before SeaweedFS starts: a change while it starts is one too
(
  while sleep 2 && kill -0 $$ 2>/dev/null; do # until SeaweedFS has ended
    now=$(cat "$keys")
    [ "$now" = "$known" ] && continue
    known=$now
    kill -HUP $$ # this pid is SeaweedFS, because of the exec below
  done
) &
exec /usr/bin/weed "$@"
