package live

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// listError is an error of listing a resource, which is named as RBAC names it: "networkpolicies.networking.k8s.io".
type listError struct {
	resource string
	err      error
}

func (e *listError) Error() string { return fmt.Sprintf("list %s: %v", e.resource, e.err) }
func (e *listError) Unwrap() error { return e.err }

func asForbidden(err error) (*listError, bool) {
	list, ok := errors.AsType[*listError](err)
	return list, ok && apierrors.IsForbidden(err)
}

// forbidden names all permissions that are missing at once.
func (r *Reader) forbidden(resources []string) error {
	return fmt.Errorf("the user of this context may not list %s in all of the cluster %s",
		strings.Join(resources, ", "), r.server)
}

// explain makes one sentence of what went wrong.
func (r *Reader) explain(err error) error {
	if unreachable, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("the API server %s cannot be reached: %w", r.server, unreachable.Err)
	}
	if apierrors.IsUnauthorized(err) {
		return fmt.Errorf("the API server %s does not accept the credentials of this context: %w", r.server, err)
	}
	return fmt.Errorf("the API server %s: %w", r.server, err)
}
