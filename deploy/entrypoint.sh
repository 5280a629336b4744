#!/bin/sh
# Puts what the file named by NAME_FILE holds into the variable NAME, for the settings that may hold a password, then
# becomes the command. So a secret is a file, as orchestrators hand it over, and shows up in no description of the
# container.
set -eu

for name in SCENARIO_STORE SCENARIO_SMTP SCENARIO_SMS SCENARIO_CALLBACK_KEY SCENARIO_CALLBACK_KEY_PREVIOUS \
    SCENARIO_SUPPRESSION_KEY SCENARIO_SUPPRESSION_KEY_PREVIOUS SCENARIO_INBOUND_KEY SCENARIO_EVENTS_SENDGRID \
    SCENARIO_EVENTS_MAILGUN SCENARIO_EVENTS_POSTMARK SCENARIO_EVENTS_BREVO SCENARIO_EVENTS_WHATSAPP \
    SCENARIO_EVENTS_WHATSAPP_VERIFY TEMPORAL_API_KEY PGPASSWORD OTEL_EXPORTER_OTLP_HEADERS; do
    eval "file=\${${name}_FILE:-}"
    [ -n "$file" ] || continue
    # A folder is what engines mount where the file is not there; an empty value would count as not set.
    if [ -d "$file" ] || ! [ -r "$file" ]; then
        echo "entrypoint: the file that ${name}_FILE names cannot be read: mount it, readable for user $(id -u)" >&2
        exit 1
    fi
    value=$(cat "$file")
    if [ -z "$value" ]; then
        echo "entrypoint: the file that ${name}_FILE names is empty: write the setting into it" >&2
        exit 1
    fi
    export "$name=$value"
    unset "${name}_FILE"
done
exec "$@"
