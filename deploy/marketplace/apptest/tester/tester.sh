#!/bin/bash
# Waits until the members are ready, then runs every suite; the first that fails ends it.
set -e -o pipefail
kubectl rollout status statefulset "$APP_INSTANCE_NAME-etcd" --namespace "$NAMESPACE" --timeout=900s
for suite in /tests/*.yaml; do
	echo "== $suite"
	testrunner -logtostderr "--test_spec=$suite"
done
