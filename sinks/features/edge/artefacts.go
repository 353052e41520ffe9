package edge

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// listed is one version in GET /v1/models.
type listed struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Role        string `json:"role,omitempty"`
	Kind        string `json:"kind"`
	PublishedAt int64  `json:"published_at"`
	FeatureHash string `json:"feature_hash"`
	Checksum    string `json:"checksum"`
	Bytes       int    `json:"bytes"`
}

// List answers GET /v1/models: every good version, by name and newest first, with the role it plays now.
func (r *Models) List(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, http.StatusOK, map[string]any{"models": r.list()})
}

func (r *Models) list() []listed {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := []listed{}
	for name, l := range r.names {
		serving := l.serving.Load()
		for _, v := range l.versions {
			x := listed{Name: name, Version: v.Version, Kind: v.Kind, PublishedAt: v.PublishedAt, FeatureHash: v.FeatureHash, Checksum: v.Checksum, Bytes: v.bytes}
			switch {
			case serving == nil:
			case serving.Champion != nil && serving.Champion.Version == v.Version:
				x.Role = "champion"
			case serving.Shadow != nil && serving.Shadow.Version == v.Version:
				x.Role = "shadow"
			}
			all = append(all, x)
		}
	}
	slices.SortFunc(all, func(a, b listed) int {
		if by := strings.Compare(a.Name, b.Name); by != 0 {
			return by
		}
		if a.PublishedAt != b.PublishedAt {
			if a.PublishedAt > b.PublishedAt {
				return -1
			}
			return 1
		}
		return strings.Compare(b.Version, a.Version)
	})
	return all
}

// Download answers GET /v1/models/{name}: the champion's artefact, or with ?version= that one, as it was sealed.
// The ETag is its checksum, so that an edge which asks again with If-None-Match gets 304 until another one is promoted.
func (r *Models) Download(w http.ResponseWriter, req *http.Request) {
	name, wanted := req.PathValue("name"), req.URL.Query().Get("version")
	var v *version
	r.mu.RLock()
	if l := r.names[name]; l != nil {
		if s := l.serving.Load(); wanted == "" && s != nil && s.Champion != nil {
			wanted = s.Champion.Version
		}
		v = l.versions[wanted]
	}
	r.mu.RUnlock()
	if v == nil {
		refuse(w, http.StatusNotFound, "", "there is no such model, or none of its versions was promoted yet: see /v1/models")
		return
	}
	w.Header().Set("ETag", `"`+v.Checksum+`"`)
	w.Header().Set("X-Model-Version", v.Version)
	w.Header().Set("Cache-Control", "no-cache") // ask each time whether it is still the champion
	if matches(req.Header.Get("If-None-Match"), v.Checksum) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	file, err := v.File()
	if err != nil { // it was proved when it came
		refuse(w, http.StatusInternalServerError, "", err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(file)))
	w.Write(file)
}

// matches says whether an If-None-Match header names the checksum.
func matches(header, checksum string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" || tag == `"`+checksum+`"` {
			return true
		}
	}
	return false
}
