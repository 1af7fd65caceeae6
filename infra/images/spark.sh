#!/bin/bash
# What the Spark image runs: `connect`, the server, or `executor`, as which Spark starts this image itself.
set -euo pipefail
case "${1:-}" in
connect)
  shift
  exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.SparkSubmit \
    --class org.apache.spark.sql.connect.service.SparkConnectServer "$@" spark-internal
  ;;
executor)
  # Spark says how by the environment: options of the JVM are SPARK_JAVA_OPT_0, _1, … in this order.
  options=()
  while IFS='=' read -r -d '' name value; do
    if [[ "$name" =~ ^SPARK_JAVA_OPT_[0-9]+$ ]]; then options+=("$value"); fi
  done < <(env -0 | sort -zV)
  exec java "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
    -cp "${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$SPARK_HOME/jars/*" \
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
    --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
    --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
    --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
  ;;
*)
  echo "usage: connect [SparkSubmit's options] | executor; not '${1:-}'" >&2
  exit 2
  ;;
esac
