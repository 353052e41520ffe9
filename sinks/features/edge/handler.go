package edge

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// readGrace is how long a body is waited for at the least.
const readGrace = 5 * time.Millisecond

// Handle adds the edge's routes to a server.
func (d *Decider) Handle(mux *http.ServeMux) {
	mux.Handle("POST /v1/decide", d)
	mux.HandleFunc("GET /v1/models", d.Models.List)
	mux.HandleFunc("GET /v1/models/{name}", d.Models.Download)
}

// ServeHTTP answers one decision. Whatever is known too late is answered with 200 and a reason; only a request that says
// nothing usable is an error: 400 and 413 as JSON that names the field.
func (d *Decider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := d.cfg.Now()
	until, err := d.deadline(r.Header, began)
	if err != nil {
		d.refuse(w, http.StatusBadRequest, err)
		return
	}
	k := d.works.Get().(*work)
	defer d.works.Put(k)
	bound := until
	if least := began.Add(readGrace); bound.Before(least) {
		bound = least // a body that is here already can still be read
	}
	switch err := k.read(w, r, bound); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		// Nobody knows yet who the player is: an answer, and no record.
		k.q = request{values: k.q.values[:0], assets: k.q.assets[:0]}
		d.decide(k, until, until)
		w.Header().Set("Connection", "close") // the rest of the body would be taken for the next request
		d.write(w, k, began)
		return
	case errors.Is(err, errTooLarge):
		d.refuse(w, http.StatusRequestEntityTooLarge, err)
		return
	case err != nil:
		d.refuse(w, http.StatusBadRequest, &fieldError{"", "the body cannot be read: " + err.Error()})
		return
	}
	if err := k.q.parse(&k.parser, k.body, d.cfg.Set); err != nil {
		d.refuse(w, http.StatusBadRequest, err)
		return
	}
	d.decide(k, began, until)
	d.write(w, k, began)
	d.observe(&k.q)
	d.record(k, began)
}

// write sends the answer.
func (d *Decider) write(w http.ResponseWriter, k *work, began time.Time) {
	k.out = d.append(k.out[:0], k)
	h := w.Header()
	h["Content-Type"] = contentJSON
	h["Content-Length"] = []string{strconv.Itoa(len(k.out))}
	w.Write(k.out) // an error means that nobody waits any more
	d.m.decisions[k.answer.degraded].Inc()
	seconds(d.m.latency, d.cfg.Now().Sub(began))
}

var contentJSON = []string{"application/json"}

var errTooLarge = &fieldError{"", "the body is larger than 64 KiB"}

// read reads the body into k.body, until the deadline at the longest.
func (k *work) read(w http.ResponseWriter, r *http.Request, until time.Time) error {
	if r.ContentLength > maxBody {
		return errTooLarge
	}
	c := http.NewResponseController(w)
	bounded := c.SetReadDeadline(until) == nil // not every server can
	k.body = k.body[:0]
	if cap(k.body) == 0 {
		k.body = make([]byte, 0, 4096)
	}
	for {
		if len(k.body) == cap(k.body) {
			k.body = append(k.body, 0)[:len(k.body)]
		}
		n, err := r.Body.Read(k.body[len(k.body):cap(k.body)])
		k.body = k.body[:len(k.body)+n]
		if len(k.body) > maxBody {
			return errTooLarge
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if bounded {
		c.SetReadDeadline(time.Time{})
	}
	return nil
}

func (d *Decider) refuse(w http.ResponseWriter, status int, err error) {
	d.m.refused.WithLabelValues(strconv.Itoa(status)).Inc()
	var bad *fieldError
	if errors.As(err, &bad) {
		refuse(w, status, bad.field, bad.problem)
		return
	}
	refuse(w, status, "", err.Error())
}

// refuse answers an error as {"error":{"field":…,"problem":…}}.
func refuse(w http.ResponseWriter, status int, field, problem string) {
	type body struct {
		Field   string `json:"field,omitempty"`
		Problem string `json:"problem"`
	}
	answerJSON(w, status, map[string]body{"error": {field, problem}})
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header()["Content-Type"] = contentJSON
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // an error means that nobody waits any more
}
