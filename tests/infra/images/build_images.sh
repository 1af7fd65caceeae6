#!/bin/bash
# Builds images with buildah, which needs no daemon, and runs each: `make test-images`.
# BASE is the image that they begin with; BASE=debootstrap makes one of Debian's own packages, where no registry of
# images is reached. CA is a file of certificates that such a base is to trust, as behind a proxy.
set -euo pipefail
cd "$(dirname "$0")/../../.."

if ! command -v buildah > /dev/null; then
  echo "buildah is not installed, and nothing was built: sudo apt-get install buildah   (Debian, Ubuntu)" >&2
  exit 1
fi
base=${BASE:-docker.io/library/debian:12-slim}
# Processes of a build are in a chroot and in no namespace: it also works inside a container.
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}
made=()
trap '[ ${#made[@]} = 0 ] || buildah rm "${made[@]}" > /dev/null' EXIT

of_debian() {
  command -v debootstrap > /dev/null || { echo "BASE=debootstrap needs it: sudo apt-get install debootstrap" >&2; exit 1; }
  local root container
  container=$(buildah from scratch)
  made+=("$container")
  root=$(buildah mount "$container")
  debootstrap --variant=minbase bookworm "$root" > /dev/null
  if [ -n "${CA:-}" ]; then
    # One a file, as Debian asks, which hands them on to Java.
    mkdir -p "$root/usr/local/share/ca-certificates"
    awk -v to="$root/usr/local/share/ca-certificates/here" '/BEGIN CERT/ { n++ } n { print > to "-" n ".crt" }' "$CA"
    install -D -m 644 "$CA" "$root/etc/ssl/certs/here.pem"
    buildah config --env SSL_CERT_FILE=/etc/ssl/certs/here.pem --env PIP_CERT=/etc/ssl/certs/here.pem "$container"
  fi
  buildah umount "$container" > /dev/null
  buildah commit --quiet "$container" localhost/feira-base > /dev/null
}

if [ "$base" = debootstrap ]; then
  buildah images localhost/feira-base > /dev/null 2>&1 || of_debian
  base=localhost/feira-base
fi

# What each is asked for once it is built, as the user that it ends with.
asked() {
  case "$1" in
  airflow) echo 'test "$(id -u)" = 50000 && airflow version && git --version && (python -m feira_airflow.core.migrate 2>&1 || true) | grep FEIRA_SPARK_URL' ;;
  stack) echo 'test "$(id -u)" = 50000 && /opt/venv/bin/feira services --json | grep -c "\"name\""' ;;
  spark) echo 'test "$(id -u)" = 50000 && { /opt/spark/entrypoint driver || test $? = 2; } && SPARK_LOCAL_IP=127.0.0.1 /opt/spark/bin/spark-class org.apache.spark.deploy.SparkSubmit --version 2>&1 | grep "version 4.1.1" && ls /opt/jars | grep -c jar' ;;
  serving) echo 'test "$(id -u)" = 50000 && python -m feira.recommendations.serving --help' ;;
  *) echo "There is no image $1; there are airflow, stack, spark and serving." >&2; exit 1 ;;
  esac
}

# The format that keeps SHELL.
for target in "$@"; do
  question=$(asked "$target")
  buildah build --quiet --layers --format docker --build-arg "BASE=$base" --file infra/images/Dockerfile \
    --ignorefile .dockerignore --target "$target" --tag "localhost/feira-$target" . > /dev/null
  container=$(buildah from "localhost/feira-$target")
  made+=("$container")
  buildah run "$container" -- bash -euo pipefail -c "$question"
  echo "$target: built and run"
done
