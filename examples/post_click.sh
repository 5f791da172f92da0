#!/bin/sh
# Posts one click and shows the answer. Needs curl.
#
#   INGEST_KEY=… sh examples/post_click.sh [URL]
#
# `cargo xtask status` prints the demo's INGEST_KEY.
set -eu
url=${1:-http://127.0.0.1:8080}
: "${INGEST_KEY:?set it to a key that clicks may be posted with}"

# The id makes the post repeatable: sent again with the same id, it is the same click and counted once.
click_id=$(cat /proc/sys/kernel/random/uuid)

# Your server posts for a person, so it says whose browser it was: without the user agent and the address the click
# would seem to be made by curl, which is a robot and not billed.
click='{"click_id": "'$click_id'", "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": "ad_001",
  "ip_address": "203.0.113.7",
  "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"}'

curl --fail-with-body --silent --show-error --max-time 10 \
    --retry 5 --retry-connrefused --retry-max-time 60 \
    --header "X-Api-Key: $INGEST_KEY" --header 'Content-Type: application/json' \
    --data "$click" \
    "$url/api/v1/clicks"
echo
