package features

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/droplift/droplift/models/feature"
)

// HandlerConfig bounds what a Handler answers.
type HandlerConfig struct {
	// MaxPlayers of one request. Default 1,000.
	MaxPlayers int
	// MaxBody in bytes. Default 256 KiB.
	MaxBody int64
	// Registerer of the metrics. Default: none.
	Registerer prometheus.Registerer
}

// Handler answers with features:
//
//	GET  /v1/features/{player}?at=MS   one player, features by name
//	POST /v1/features                  {"players":["p1",…],"at":MS}: names once, values in their order
//	GET  /v1/features                  the contract: what each feature is
//
// at is the scoring time (Unix ms), by default the server's clock: ages and the features that depend on time are as of then. With
// Accept: application/vnd.apache.arrow.stream the first two answer with one Arrow record, a row per player in the order asked. An unknown
// player is an answer like any other. Errors are JSON that says what to do instead.
type Handler struct {
	store   *Store
	cfg     HandlerConfig
	answers sync.Pool
	list    []byte

	one, many, contract, other routeMetrics
}

// ArrowStream is the media type of the Arrow IPC stream.
const ArrowStream = "application/vnd.apache.arrow.stream"

// NewHandler registers metrics.
func NewHandler(store *Store, cfg HandlerConfig) (*Handler, error) {
	if cfg.MaxPlayers < 0 || cfg.MaxBody < 0 {
		return nil, errors.New("features: limits are negative")
	}
	if cfg.MaxPlayers == 0 {
		cfg.MaxPlayers = 1000
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 256 << 10
	}
	m, err := newRequestMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	list, err := contract(store.cfg.TTLMS)
	if err != nil {
		return nil, err
	}
	return &Handler{
		store: store, cfg: cfg, list: list, answers: sync.Pool{New: func() any { return new(answer) }},
		one: m.route("one"), many: m.route("many"), contract: m.route("contract"), other: m.route("other"),
	}, nil
}

// Handle adds the routes to a server.
func (h *Handler) Handle(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/features/{player}", h.timed(h.one, h.serveOne))
	mux.HandleFunc("POST /v1/features", h.timed(h.many, h.serveMany))
	mux.HandleFunc("GET /v1/features", h.timed(h.contract, h.serveContract))
	wrong := h.timed(h.other, func(http.ResponseWriter, *http.Request, *answer) *refusal {
		return refuse(http.StatusMethodNotAllowed, "method", "use GET /v1/features/{player}, POST /v1/features or GET /v1/features")
	})
	mux.HandleFunc("/v1/features", wrong)
	mux.HandleFunc("/v1/features/", wrong)
}

// refusal is a request that is not answered: its status, a short name for the counter, and what to do instead.
type refusal struct {
	status    int
	why, text string
}

func refuse(status int, why, format string, args ...any) *refusal {
	return &refusal{status, why, fmt.Sprintf(format, args...)}
}

func (h *Handler) timed(m routeMetrics, serve func(http.ResponseWriter, *http.Request, *answer) *refusal) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		a := h.answers.Get().(*answer)
		if refused := serve(w, r, a); refused != nil {
			m.refused(refused.status, refused.why).Inc()
			text, _ := json.Marshal(map[string]string{"error": refused.text}) // strings always can be
			if refused.status == http.StatusMethodNotAllowed {
				w.Header().Set("Allow", "GET, POST")
			}
			h.write(w, refused.status, typeJSON, append(text, '\n'))
		} else {
			m.good.Inc()
		}
		h.answers.Put(a)
		m.seconds.Observe(time.Since(began).Seconds())
	}
}

var typeJSON, typeArrow = []string{"application/json"}, []string{ArrowStream}

func (h *Handler) write(w http.ResponseWriter, status int, contentType []string, body []byte) {
	header := w.Header()
	header["Content-Type"] = contentType
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	if status != http.StatusOK {
		w.WriteHeader(status)
	}
	w.Write(body) // an error means that nobody waits any more
}

// wantsArrow says whether a client asks for the Arrow stream.
func wantsArrow(r *http.Request) bool {
	for _, accept := range r.Header["Accept"] {
		if strings.Contains(accept, ArrowStream) {
			return true
		}
	}
	return false
}

func (h *Handler) serveOne(w http.ResponseWriter, r *http.Request, a *answer) *refusal {
	var given int64
	isGiven := false
	if r.URL.RawQuery != "" {
		if text := r.URL.Query().Get("at"); text != "" {
			var err error
			if given, err = strconv.ParseInt(text, 10, 64); err != nil {
				return refuse(http.StatusBadRequest, "at", "at: %q is not a time in Unix milliseconds such as 1760000000000", text)
			}
			isGiven = true
		}
	}
	at, refused := h.time(given, isGiven)
	if refused != nil {
		return refused
	}
	player := r.PathValue("player")
	if wantsArrow(r) {
		return h.arrow(w, a, []string{player}, at)
	}
	h.write(w, http.StatusOK, typeJSON, a.one(h.store, player, at))
	return nil
}

func (h *Handler) serveMany(w http.ResponseWriter, r *http.Request, a *answer) *refusal {
	const example = `{"players":["p1","p2"],"at":1760000000000}, at being optional`
	body := http.MaxBytesReader(w, r.Body, h.cfg.MaxBody)
	var err error
	if a.body, err = readAll(body, a.body[:0]); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return refuse(http.StatusRequestEntityTooLarge, "body", "the body is larger than %d bytes: ask for fewer players at a time", h.cfg.MaxBody)
		}
		return refuse(http.StatusBadRequest, "body", "the body could not be read: %v", err)
	}
	given, isGiven, err := a.parse()
	if err != nil {
		return refuse(http.StatusBadRequest, "json", "the body is not JSON such as %s: %v", example, err)
	}
	switch n := len(a.players); {
	case n == 0:
		return refuse(http.StatusBadRequest, "players", "players: none are named; send JSON such as %s", example)
	case n > h.cfg.MaxPlayers:
		return refuse(http.StatusBadRequest, "too_many", "players: %d are too many; ask for at most %d at a time", n, h.cfg.MaxPlayers)
	}
	for i, player := range a.players {
		if player == "" {
			return refuse(http.StatusBadRequest, "players", "players: number %d is empty", i+1)
		}
	}
	at, refused := h.time(given, isGiven)
	if refused != nil {
		return refused
	}
	if wantsArrow(r) {
		return h.arrow(w, a, a.players, at)
	}
	h.write(w, http.StatusOK, typeJSON, a.many(h.store, a.players, at))
	return nil
}

// time is the scoring time: what is given, or the server's clock.
func (h *Handler) time(given int64, isGiven bool) (int64, *refusal) {
	// Seconds for milliseconds would make nothing ever stale.
	const leastMS = 100_000_000_000 // March 1973
	switch {
	case !isGiven:
		return h.store.cfg.Now().UnixMilli(), nil
	case given < leastMS:
		return 0, refuse(http.StatusBadRequest, "at", "at: %d is not a time in Unix milliseconds such as 1760000000000", given)
	}
	return given, nil
}

// readAll is io.ReadAll into memory that is used again.
func readAll(r io.Reader, into []byte) ([]byte, error) {
	for {
		if len(into) == cap(into) {
			into = append(into, 0)[:len(into)]
		}
		n, err := r.Read(into[len(into):cap(into)])
		into = into[:len(into)+n]
		if err == io.EOF {
			return into, nil
		}
		if err != nil {
			return into, err
		}
	}
}

// contract is the answer to what the features are.
func contract(ttlMS int64) ([]byte, error) {
	type described struct {
		Name     string  `json:"name"`
		Type     string  `json:"type"`
		Unit     string  `json:"unit"`
		Nullable bool    `json:"nullable"`
		Default  float64 `json:"default"`
		Elapsed  bool    `json:"elapsed"`
		Doc      string  `json:"doc"`
	}
	set := feature.Player
	var list []described
	for _, f := range set.Features {
		list = append(list, described{f.Name, f.Type.String(), f.Unit, f.Nullable, f.Default, f.Elapsed, f.Doc})
	}
	out, err := json.MarshalIndent(struct {
		Set      string      `json:"feature_set"`
		Version  int         `json:"version"`
		Hash     string      `json:"hash"`
		Key      string      `json:"key"`
		TTLMS    int64       `json:"ttl_ms"`
		Features []described `json:"features"`
	}{set.Name, set.Version, set.Hash(), set.Key, ttlMS, list}, "", "  ")
	return append(out, '\n'), err
}

func (h *Handler) serveContract(w http.ResponseWriter, r *http.Request, _ *answer) *refusal {
	tag := `"` + feature.Player.Hash() + `"`
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.write(w, http.StatusOK, typeJSON, h.list)
	return nil
}
