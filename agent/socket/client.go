package socket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// ErrDown says that no agent answered.
var ErrDown = errors.New("the agent does not answer")

// Refused is what the agent answered instead of yes.
type Refused struct{ Reason string }

// Error returns the reason.
func (r *Refused) Error() string { return "the agent refused: " + r.Reason }

// Call asks the agent that listens at a path. The error is a *Refused if the agent said no, and wraps ErrDown if it
// said nothing before ctx ended.
func Call(ctx context.Context, path string, req Request) (Response, error) {
	var resp Response
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return resp, fmt.Errorf("%w: %w", ErrDown, err)
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return resp, err
		}
		req.Patience = time.Until(deadline)
	}
	writeErr := json.NewEncoder(conn).Encode(req)
	if err := json.NewDecoder(conn).Decode(&resp); err != nil { // a refusal may come before all is written
		return resp, fmt.Errorf("%w: %w", ErrDown, errors.Join(writeErr, err))
	}
	if resp.Error != "" {
		return resp, &Refused{resp.Error}
	}
	return resp, nil
}
