#!/usr/bin/env bash
# Removes the two app registrations of register.sh with their service principals, and nothing else. In a real tenant they
# stay in "Deleted applications" for thirty days, from where they can be restored.
set -euo pipefail
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/entra/common.sh
. "$folder/common.sh"

usage() {
    cat <<'END'
cleanup.sh [OPTION]...   remove the app registrations that register.sh made

  --api-name NAME   name of the API [default: tower-obo-api]
  --ui-name NAME    name of the web app [default: tower-obo-ui]
  --env FILE        the settings that register.sh wrote; removed as well [default: deploy/.env]
  --dry-run         say what would be removed, and remove nothing
  --help            this text

Sign in before: az login --tenant TENANT --allow-no-subscriptions
END
}

env_file=$(dirname "$folder")/.env
while [ $# -gt 0 ]; do
    case $1 in
    --api-name) api_name=$(value "$@"); shift ;;
    --ui-name) ui_name=$(value "$@"); shift ;;
    --env) env_file=$(value "$@"); shift ;;
    --dry-run) dry_run=true ;;
    --help) usage && exit ;;
    *) usage_error "there is no option $1" ;;
    esac
    shift
done
plain 'a name' "$api_name"
plain 'a name' "$ui_name"
need_az

say "tenant $tenant"
for name in "$ui_name" "$api_name"; do
    app=$(find_app "$name")
    # The application goes with its service principal in its own tenant.
    [ -z "$app" ] || change "removed: $name  $app" az ad app delete --id "$app"
done
# Somebody else's settings, or those of other registrations, are not ours to remove.
if [ -f "$env_file" ] && head -n 1 "$env_file" | grep -q 'written by register.sh'; then
    change "removed: $env_file" rm -f -- "$env_file"
fi
if $dry_run; then
    say "This was a dry run: nothing was removed. $changes things would be."
elif [ "$changes" -eq 0 ]; then
    say 'Nothing was removed: there was nothing of it.'
else
    say "Done: $changes things are gone."
fi
