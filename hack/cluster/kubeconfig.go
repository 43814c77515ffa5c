package cluster

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig writes a kubeconfig with a client certificate for a user in some groups and returns its path, which is the
// same for the same user and groups. A ServiceAccount is the user "system:serviceaccount:NAMESPACE:NAME" in the groups
// "system:serviceaccounts" and "system:serviceaccounts:NAMESPACE". It works in every namespace that has a Link.
func (c *Cluster) Kubeconfig(user string, groups []string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	path := c.file(kubeconfigName(user, groups))
	if _, err := os.Stat(path); err == nil {
		return path, nil // and perhaps some program is reading it
	}
	config, err := c.Config(user, groups)
	if err != nil {
		return "", err
	}
	if err := clientcmd.WriteToFile(toKubeconfig(user, config), path); err != nil {
		return "", fmt.Errorf("write kubeconfig of %s: %w", user, err)
	}
	return path, nil
}

// Config is the client configuration of a user, with a certificate of its own. See Kubeconfig.
func (c *Cluster) Config(user string, groups []string) (*rest.Config, error) {
	pair, err := c.ca.issueClient(user, groups)
	if err != nil {
		return nil, err
	}
	config := c.ca.clientConfig(pair)
	config.Host = c.URL()
	return config, nil
}

// clientConfig authenticates as the owner of pair. It lacks the host.
func (a *authority) clientConfig(pair keyPair) *rest.Config {
	return &rest.Config{TLSClientConfig: rest.TLSClientConfig{
		CAData:   a.certPEM(),
		CertData: pair.cert,
		KeyData:  pair.key,
	}}
}

func toKubeconfig(user string, config *rest.Config) api.Config {
	const name = "palisade"
	kubeconfig := api.NewConfig()
	kubeconfig.Clusters[name] = &api.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	kubeconfig.AuthInfos[user] = &api.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	kubeconfig.Contexts[name] = &api.Context{Cluster: name, AuthInfo: user}
	kubeconfig.CurrentContext = name
	return *kubeconfig
}

// kubeconfigName is readable, and different for different users and groups.
func kubeconfigName(user string, groups []string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q", user, groups))
	return fmt.Sprintf("%s-%x.kubeconfig", strings.NewReplacer(":", "-", "/", "-").Replace(user), sum[:4])
}
