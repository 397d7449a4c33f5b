#!/usr/bin/env bash
# Removes the two app registrations that register.sh made, by their mark and by the settings that it wrote, with their
# service principals, and nothing else. In a real tenant they stay in "Deleted applications" for thirty days, from where
# they can be restored.
set -euo pipefail
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/entra/common.sh
. "$folder/common.sh"

usage() {
    cat <<'END'
cleanup.sh [OPTION]...   remove the app registrations that register.sh made

  --api-name NAME   name of the API [default: tower-obo-api]
  --ui-name NAME    name of the web app [default: tower-obo-ui]
  --env FILE        the settings that register.sh wrote: they say which applications are its own; removed with them
                    [default: deploy/.env]
  --by-name         remove what is called so and has register.sh's mark, whatever the settings say
  --dry-run         say what would be removed, and remove nothing
  --help            this text

Sign in before: az login --tenant TENANT --allow-no-subscriptions
END
}

by_name=false env_file=$(dirname "$folder")/.env
while [ $# -gt 0 ]; do
    case $1 in
    --api-name) api_name=$(value "$@"); shift ;;
    --ui-name) ui_name=$(value "$@"); shift ;;
    --env) env_file=$(value "$@"); shift ;;
    --by-name) by_name=true ;;
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
# Whose they are the file says: a name can be anybody's.
ours='' file_ids=()
if is_ours; then
    known=$(setting AZURE_TENANT_ID)
    [ "$known" = "$tenant" ] ||
        usage_error "$env_file is of another tenant, $known: az login --tenant $known, or another --env"
    for id in "$(setting DEMO_UI_CLIENT_ID)" "$(setting AZURE_CLIENT_ID)"; do
        [ -n "$id" ] || continue
        file_ids+=("$id")
        grep -qxF -- "$FOUND_HERE $id" "$env_file" || ours="$ours $id"
    done
fi

kept=0
keep() { # NAME CLIENT_ID WHY
    kept=$((kept + 1))
    say "kept   $1  $2: $3"
}

# Both are looked at before either is removed.
ui=$(find_app "$ui_name")
api=$(find_app "$api_name")
removed=''
remove() { # NAME CLIENT_ID
    local marked
    [ -n "$2" ] || return 0
    marked=$(az ad app show --id "$2" --query "tags[?@=='$MARK'] | [0]" --output tsv)
    if [ -z "$marked" ]; then
        keep "$1" "$2" 'register.sh did not make it'
        return
    fi
    case " $ours " in
    *" $2 "*) ;;
    *)
        if ! $by_name; then
            keep "$1" "$2" "$env_file does not say that it was made there; --by-name removes it"
            return
        fi
        ;;
    esac
    # The application goes with its service principal in its own tenant.
    change "removed: $1  $2" az ad app delete --id "$2"
    removed="$removed $2"
}
remove "$ui_name" "$ui"
remove "$api_name" "$api"

# The file is the only place of its secrets: it goes once both of its applications are gone.
stays() { # CLIENT_ID
    case " $removed " in *" $1 "*) return 1 ;; esac
    is_there "$1"
}
if is_ours; then
    needed=''
    for id in ${file_ids[@]+"${file_ids[@]}"}; do
        if stays "$id"; then needed=$id; fi
    done
    if [ -z "$needed" ]; then
        change "removed: $env_file" rm -f -- "$env_file"
    else
        kept=$((kept + 1))
        say "kept   $env_file: its application $needed is still there"
    fi
fi
if $dry_run; then
    say "This was a dry run: nothing was removed. $changes things would be."
elif [ "$kept" -gt 0 ]; then
    fail "$changes things were removed, $kept were kept, as said above"
elif [ "$changes" -eq 0 ]; then
    say 'Nothing was removed: there was nothing of it.'
else
    say "Done: $changes things are gone."
fi
