#!/bin/sh
# Starts SeaweedFS once store-keys has written its keys, and makes it read them again when they have changed.
#
# So the store depends on no other service: Docker Compose (2.26 does) would stop and start it whenever such a
# service has a new image, which store-keys has after each upgrade.
keys=/keys/identities.json
until [ -s "$keys" ]; do sleep 0.2; done
(
  known=$(cat "$keys")
  while sleep 2; do
    now=$(cat "$keys")
    [ "$now" = "$known" ] && continue
    known=$now
    kill -HUP $$ # which is SeaweedFS by now
  done
) &
exec /usr/bin/weed "$@"
