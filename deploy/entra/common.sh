# What register.sh and cleanup.sh share. Sourced, not run; needs nothing but bash and Azure CLI.
# shellcheck shell=bash
# shellcheck disable=SC2034  # what is used by those who source it

# Client ids of Microsoft's own, the same in every tenant and cloud.
readonly AZURE_SERVICE_MANAGEMENT=797f4846-ba00-4fd7-ba43-dac1f8f63013
readonly MICROSOFT_GRAPH=00000003-0000-0000-c000-000000000000
# Among the tags of each application that register.sh made: what has it not is never removed.
readonly MARK=made-by-tower-obo-register
# What the file says of an application that was there before; cleanup.sh leaves it.
readonly FOUND_HERE='# Found by its name, not made here:'

api_name=tower-obo-api
ui_name=tower-obo-ui
dry_run=false
env_file='' tenant='' graph=''
changes=0

fail() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit "${2:-1}"
}

usage_error() { fail "$1 (--help says what there is)" 64; }

say() { printf '%s\n' "$1"; }

# The value of an option, which must be there.
value() { # OPTION VALUES...
    [ -n "${2-}" ] || usage_error "$1 needs a value"
    printf '%s' "$2"
}

# A name that can stand in a filter and in JSON as it is.
plain() { # WHAT TEXT
    case $2 in
    *[\"\'\\]* | *$'\n'*) usage_error "$1 must have no quotes, backslashes or line breaks: $2" ;;
    esac
}

# Somebody must be signed in; sets `tenant`.
need_az() {
    command -v az >/dev/null ||
        fail 'Azure CLI (az) is not installed: https://learn.microsoft.com/cli/azure/install-azure-cli'
    export AZURE_CORE_ONLY_SHOW_ERRORS=true AZURE_CORE_NO_COLOR=true
    tenant=$(az account show --query tenantId --output tsv 2>/dev/null) ||
        fail 'nobody is signed in to Azure CLI: az login --tenant TENANT --allow-no-subscriptions'
    # A sign-in that has ended, or that may not read applications, is found here and not half way.
    local refused
    refused=$(az ad app list --filter "displayName eq '$api_name'" --query '[].id' --output tsv 2>&1) ||
        fail "the tenant's applications can't be read by who is signed in to Azure CLI: $refused"
    graph=$(az cloud show --query endpoints.microsoftGraphResourceId --output tsv)
}

# The client id of the one application of this name; nothing where there is none.
find_app() { # NAME
    local found
    found=$(az ad app list --filter "displayName eq '$1'" --query '[].appId' --output tsv)
    case $found in
    *$'\n'*) fail "several applications are called '$1' ($(printf '%s' "$found" | tr '\n' ' ')): rename or remove all but one, or give another name" ;;
    esac
    printf '%s' "$found"
}

# One setting of the file that is there; quotes are its form, not its value.
setting() { # NAME
    [ -r "$env_file" ] || return 0
    sed -n "s/^$1=//p" "$env_file" | tail -n 1 | sed "s/^'\(.*\)'\$/\1/"
}

# That register.sh wrote the file, by its first line.
is_ours() { [ -f "$env_file" ] && head -n 1 "$env_file" | grep -q 'written by register.sh'; }

# That the tenant has an application of this client id.
is_there() { # CLIENT_ID
    local found
    found=$(az ad app list --filter "appId eq '$1'" --query '[].appId' --output tsv) ||
        fail "it can't be found out whether the application $1 is there"
    [ -n "$found" ]
}

# Says a change, and in a dry run the command that would make it.
announce() { # WHAT COMMAND...
    changes=$((changes + 1))
    if $dry_run; then
        say "would  $1"
        shift
        printf '         '
        printf ' %q' "$@"
        printf '\n'
    else
        say "       $1"
    fi
}

# One change: said, and made unless it is a dry run.
change() { # WHAT COMMAND...
    announce "$@"
    shift
    $dry_run || patiently "$@" >/dev/null
}

# Runs a command; what was made a moment ago is not found everywhere in Entra ID yet, and is waited for.
patiently() { # COMMAND...
    local answer try
    answer=$(mktemp)
    for try in 1 2 3 4 5 6; do
        if "$@" 2>"$answer"; then
            rm -f "$answer"
            return
        fi
        if [ "$try" = 6 ] || ! grep -qE 'does not exist|does not reference a valid application|Request_ResourceNotFound' "$answer"; then
            break
        fi
        sleep "${REGISTER_PAUSE:-5}"
    done
    local said
    said=$(cat "$answer")
    rm -f "$answer"
    fail "${*:1:4}: $said"
}
