// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func init() {
	caddy.RegisterModule(Admin{})
}

// Admin adds routes to Caddy's admin API, to see what is in the queue and to
// act on it. They all begin with `/webhook_inbox/endpoints`:
//
// Route | What it does
// ------|-------------
// `GET /` | lists the endpoints with their figures, those without a configuration included
// `GET /<endpoint>` | the figures of one
// `GET /<endpoint>/dead_letters` | lists dead letters; `?limit=` of them, `?after=` an id
// `GET /<endpoint>/dead_letters/<id>` | one of them, without header and body
// `GET /<endpoint>/dead_letters/<id>/request` | its whole request; header fields and parameters that are credentials, or named like one, are redacted
// `POST /<endpoint>/dead_letters/<id>/redrive` | delivers one again
// `POST /<endpoint>/dead_letters/redrive` | delivers all again
// `DELETE /<endpoint>/dead_letters/<id>` | discards one
// `DELETE /<endpoint>/dead_letters` | discards all
// `DELETE /<endpoint>/keys?id=<id>` | forgets an id, so that the sender can send it again; `id` is repeated for one of several parts
// `DELETE /<endpoint>/keys?content=<hash>` | forgets a content, by the hash that the log shows with a duplicate
// `POST /<endpoint>/move?to=<name>` | moves everything of an endpoint that is not configured any more to another name
//
// GET only reads, POST acts and DELETE discards, so that remote access can be
// granted by method.
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.webhook_inbox",
		New: func() caddy.Module { return new(Admin) },
	}
}

// Routes returns the routes.
func (Admin) Routes() []caddy.AdminRoute {
	const base = "/webhook_inbox/endpoints"
	const letters = base + "/{endpoint}/dead_letters"
	routes := []struct {
		pattern string
		serve   func(adminRequest) (any, error)
	}{
		{"GET " + base, listEndpoints},
		{"GET " + base + "/{endpoint}", showEndpoint},
		{"GET " + letters, listDeadLetters},
		{"GET " + letters + "/{id}", showDeadLetter},
		{"GET " + letters + "/{id}/request", showRequest},
		{"POST " + letters + "/{id}/redrive", redrive},
		{"POST " + letters + "/redrive", redriveAll},
		{"DELETE " + letters + "/{id}", discard},
		{"DELETE " + letters, discardAll},
		{"DELETE " + base + "/{endpoint}/keys", forget},
		{"POST " + base + "/{endpoint}/move", move},
	}
	var admin []caddy.AdminRoute
	for _, r := range routes {
		admin = append(admin, caddy.AdminRoute{Pattern: r.pattern, Handler: serveAdmin(r.serve)})
	}
	return admin
}

// adminRequest is a request to the admin API and what it is about.
type adminRequest struct {
	*http.Request
	app      *App
	inbox    *inbox
	queue    queue.Queue
	endpoint string
}

// serveAdmin finds the running inbox, and writes what a route returns as JSON.
// The admin server outlives configurations, so the app is looked up each time.
func serveAdmin(serve func(adminRequest) (any, error)) caddy.AdminHandler {
	return caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		m, err := caddy.ActiveContext().AppIfConfigured(appName)
		if err != nil {
			return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: errors.New("no webhook inbox is configured")}
		}
		app := m.(*App)
		select {
		case <-app.ready:
		default:
			return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: errNotOpen}
		}
		q := app.inbox.queue.Load()
		if q == nil {
			return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: errNotOpen}
		}
		request := adminRequest{r, app, app.inbox, *q, r.PathValue("endpoint")}
		if err := request.known(); err != nil {
			return apiError(err)
		}
		answer, err := serve(request)
		if err != nil {
			return apiError(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "\t")
		return encoder.Encode(answer)
	})
}

func apiError(err error) error {
	status := http.StatusInternalServerError
	switch {
	case errors.As(err, new(caddy.APIError)):
		return err
	case errors.Is(err, queue.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, queue.ErrBusy):
		status = http.StatusConflict
	case errors.Is(err, queue.ErrClosed), errors.Is(err, queue.ErrUnavailable), errors.Is(err, queue.ErrFull):
		status = http.StatusServiceUnavailable
	}
	return caddy.APIError{HTTPStatus: status, Err: err}
}

func badAdminRequest(format string, args ...any) error {
	return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: fmt.Errorf(format, args...)}
}

// endpointView is an endpoint as the API shows it.
type endpointView struct {
	Name        string      `json:"name"`
	Configured  bool        `json:"configured"`
	Waiting     int64       `json:"waiting"`
	Retrying    int64       `json:"retrying"`
	InFlight    int64       `json:"in_flight"`
	DeadLetters int64       `json:"dead_letters"`
	Kept        int64       `json:"kept"`
	Bytes       int64       `json:"bytes"`
	Oldest      *time.Time  `json:"oldest,omitempty"`
	Outage      *outageView `json:"outage,omitempty"`
}

type outageView struct {
	Since     time.Time `json:"since"`
	Probes    int       `json:"probes"`
	NextProbe time.Time `json:"next_probe"`
	LastError string    `json:"last_error,omitempty"`
}

// known refuses an endpoint, if the request names one, that there is not.
func (r adminRequest) known() error {
	if r.endpoint == "" || r.app.endpoints[r.endpoint] != nil {
		return nil
	}
	stats, err := r.queue.Endpoints(r.Context())
	if err != nil {
		return err
	}
	if _, ok := stats[r.endpoint]; !ok {
		return fmt.Errorf("endpoint %s: %w", r.endpoint, queue.ErrNotFound)
	}
	return nil
}

func listEndpoints(r adminRequest) (any, error) {
	all, err := r.endpoints(r.Context())
	if err != nil {
		return nil, err
	}
	views := []endpointView{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		views = append(views, all[name])
	}
	return views, nil
}

func showEndpoint(r adminRequest) (any, error) {
	all, err := r.endpoints(r.Context())
	if err != nil {
		return nil, err
	}
	view, ok := all[r.endpoint]
	if !ok {
		return nil, fmt.Errorf("endpoint %s: %w", r.endpoint, queue.ErrNotFound)
	}
	return view, nil
}

// endpoints returns the endpoints that are configured or have something in the
// queue.
func (r adminRequest) endpoints(ctx context.Context) (map[string]endpointView, error) {
	stats, err := r.queue.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	for name := range r.app.endpoints {
		if _, ok := stats[name]; !ok {
			stats[name] = queue.Stats{}
		}
	}
	views := make(map[string]endpointView, len(stats))
	for name, s := range stats {
		v := endpointView{
			Name:        name,
			Configured:  r.app.endpoints[name] != nil,
			Waiting:     s.Waiting,
			Retrying:    s.Retrying,
			InFlight:    s.InFlight,
			DeadLetters: s.Dead,
			Kept:        s.Kept,
			Bytes:       s.Bytes,
		}
		if !s.Oldest.IsZero() {
			v.Oldest = &s.Oldest
		}
		if o, ok := r.inbox.outage(name); ok {
			v.Outage = &outageView{o.Since, o.Probes, o.NextProbe, o.LastError}
		}
		views[name] = v
	}
	return views, nil
}

func forget(r adminRequest) (any, error) {
	query := r.URL.Query()
	ids, content := query["id"], query.Get("content")
	kind, hash := queue.KeyID, [32]byte{}
	switch {
	case len(ids) > 0 && content == "":
		hash = idHash(ids...)
	case len(ids) == 0 && content != "":
		decoded, err := hex.DecodeString(content)
		if err != nil || len(decoded) != len(hash) {
			return nil, badAdminRequest("content must be the hash that the log shows, of %d hexadecimal digits", 2*len(hash))
		}
		kind, hash = queue.KeyContent, [32]byte(decoded)
	default:
		return nil, badAdminRequest("say which one: ?id=… or ?content=…")
	}
	if err := r.queue.Forget(r.Context(), r.endpoint, kind, hash); err != nil {
		return nil, err
	}
	return map[string]int{"forgotten": 1}, nil
}

func move(r adminRequest) (any, error) {
	to := r.URL.Query().Get("to")
	switch {
	case !endpointName.MatchString(to):
		return nil, badAdminRequest("say where to: ?to=<endpoint>, of the characters a-z, 0-9, _ and -")
	case to == r.endpoint:
		return nil, badAdminRequest("endpoint %s is where its messages are", to)
	case r.app.endpoints[to] == nil:
		return nil, caddy.APIError{
			HTTPStatus: http.StatusConflict,
			Err:        fmt.Errorf("endpoint %s is not configured: nobody would deliver what is moved there", to),
		}
	case r.app.endpoints[r.endpoint] != nil:
		return nil, caddy.APIError{
			HTTPStatus: http.StatusConflict,
			Err:        fmt.Errorf("endpoint %s is configured: take it out of the configuration first, so that nothing new arrives under the old name", r.endpoint),
		}
	}
	n, err := r.queue.Move(r.Context(), r.endpoint, to)
	if err != nil {
		return nil, err
	}
	return map[string]int{"moved": n}, nil
}

// limitOf reads how many of a list are wanted.
func limitOf(r adminRequest) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 10000 {
		return 0, badAdminRequest("limit must be a number from 1 to 10000")
	}
	return n, nil
}

var _ caddy.AdminRouter = (*Admin)(nil)
