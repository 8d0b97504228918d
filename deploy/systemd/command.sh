#!/bin/sh
# slopewatch as its services run it: with their user, settings and secrets. For root:
#   install -m 755 command.sh /usr/local/sbin/slopewatch-command
#   slopewatch-command doctor
# The name of the unit lets systemd apply what stands in slopewatch-.service.d, where the secrets are.
exec systemd-run --quiet --collect --wait --pipe --unit="slopewatch-command-$$" \
    --uid=slopewatch --gid=slopewatch --working-directory=/var/lib/slopewatch \
    --setenv=SLOPEWATCH_CONFIG=/etc/slopewatch/slopewatch.yaml \
    --property=UMask=0077 --property=NoNewPrivileges=yes --property=PrivateTmp=yes \
    -- /opt/slopewatch/venv/bin/slopewatch "$@"
