/* etcd-agent: the process beside etcd in a pod of Kubernetes. */
#include "pod/pod.h"

int main(int argc, char **argv)
{
	return pod_main(argc, argv);
}
