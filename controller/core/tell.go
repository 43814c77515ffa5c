package core

import (
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/controller/resolve"
)

// reasonInvalid is the reason of Events about parts of a policy that the API server would have rejected.
const reasonInvalid = "InvalidRule"

// tells turns what is wrong with a policy into what to tell its author.
func tells(np *networkingv1.NetworkPolicy, errs []error, hints []resolve.Hint) []Tell {
	key := keyOf(np)
	var list []Tell
	for _, err := range errs {
		note := strings.TrimPrefix(err.Error(), "networkpolicy "+key.String()+": ")
		list = append(list, Tell{key, np.UID, reasonInvalid, note + "; this part opens nothing"})
	}
	for _, h := range hints {
		list = append(list, Tell{key, np.UID, string(h.Reason), h.Text})
	}
	return list
}

// tell returns what of list was not told when the policy was last resolved.
func (c *Core) tell(key types.NamespacedName, list []Tell) []Effect {
	before, now := c.told[key], map[Tell]bool{}
	var effects []Effect
	for _, t := range list {
		if !before[t] && !now[t] {
			effects = append(effects, t)
		}
		now[t] = true
	}
	c.told[key] = now
	if len(now) == 0 {
		delete(c.told, key)
	}
	return effects
}

// toldBack makes what could not be told be told again.
func (c *Core) toldBack(in Told) []Effect {
	if in.OK || !c.told[in.Tell.Policy][in.Tell] {
		return nil
	}
	delete(c.told[in.Tell.Policy], in.Tell)
	return c.retry(in.Tell.Policy)
}
