package viewer

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
)

const cookieName = "droplift_viewer"

// headers go with every answer. Scripts come from the page's own files only; the chart library places its tooltips by style attributes.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; " +
		"connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
}

// guard lets nobody through who may not ask.
func (h *Handler) guard(next http.Handler) http.Handler {
	cookie := seal(h.cfg.Token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "The viewer only reads.", http.StatusMethodNotAllowed)
			return
		}
		api := strings.HasPrefix(r.URL.Path, "/api/")
		if h.cfg.Token != "" && !api && r.URL.Query().Has("token") {
			h.enter(w, r, cookie)
			return
		}
		if p := h.refusal(r, api, cookie); p != nil {
			h.metrics.requests.WithLabelValues("refused", strconv.Itoa(http.StatusUnauthorized)).Inc()
			w.Header().Set("Cache-Control", "no-store")
			writeProblem(w, p)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refusal says why the request may not be answered, nil if it may. The token guards the data; the page is no secret, and
// a browser that comes from another site's link brings no cookie for it.
func (h *Handler) refusal(r *http.Request, api bool, cookie string) *Problem {
	// A page of another site must not even make this one work.
	if api && r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return problem(Unauthorized, "Another site asks for this.").fixedBy("Open the viewer itself.")
	}
	if h.cfg.Token == "" {
		// Without a token the name is what keeps other sites out, whose names may be made to lead here.
		if !loopback(r.Host) {
			return problem(Unauthorized, "The viewer answers on this machine only, to localhost and 127.0.0.1, not to %s.", shorten(r.Host)).
				fixedBy("Open http://127.0.0.1, or start it with a token: --viewer-token-file.")
		}
		return nil
	}
	if !api {
		return nil
	}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		if same(bearer, h.cfg.Token) {
			return nil
		}
	} else if c, err := r.Cookie(cookieName); err == nil && same(c.Value, cookie) {
		return nil
	}
	return problem(Unauthorized, "The viewer wants its token.").fixedBy("Open it with ?token=TOKEN once, or send Authorization: Bearer TOKEN.")
}

// enter lets in a browser that shows the token in its address, once: it gets a cookie and the address without the token.
func (h *Handler) enter(w http.ResponseWriter, r *http.Request, cookie string) {
	w.Header().Set("Cache-Control", "no-store")
	query := r.URL.Query()
	if !same(query.Get("token"), h.cfg.Token) {
		h.metrics.requests.WithLabelValues("refused", strconv.Itoa(http.StatusUnauthorized)).Inc()
		http.Error(w, "The token is wrong.", http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
	query.Del("token")
	// A path of two slashes would name another host.
	to := url.URL{Path: path.Clean("/" + r.URL.Path), RawQuery: query.Encode()}
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// seal is what the cookie holds, so that the token itself does not lie in the browser.
func seal(token string) string {
	sum := sha256.Sum256([]byte("droplift viewer\x00" + token))
	return hex.EncodeToString(sum[:])
}

// same compares secrets in a time that tells nothing of them, not even their length.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// loopback says whether a Host header names this machine.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
