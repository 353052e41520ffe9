package viewer

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// dist is what `npm run build` makes of web.
//
//go:embed all:web/dist
var dist embed.FS

func built() fs.FS {
	files, err := fs.Sub(dist, "web/dist")
	if err != nil { // the directory is part of the program
		panic(err)
	}
	return files
}

// page holds the built page's files by path. Requests are looked up, never opened: no path leads out of it, and there is
// no listing.
type page struct {
	files map[string]file
}

type file struct {
	body      []byte
	kind, tag string
}

const index = "/index.html"

func newPage(files fs.FS) (*page, error) {
	p := &page{files: map[string]file{}}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		p.files["/"+name] = file{body: body, kind: contentType(name), tag: `W/"` + hex.EncodeToString(sum[:12]) + `"`} // weak: compressed or not
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("viewer: the page: %w", err)
	}
	if _, ok := p.files[index]; !ok {
		return nil, errors.New("viewer: the page has no index.html")
	}
	return p, nil
}

// contentTypes are those of a page; a machine's own table may say something else, or nothing.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".json": "application/json",
	".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon", ".woff2": "font/woff2", ".map": "application/json", ".txt": "text/plain; charset=utf-8",
	".webmanifest": "application/manifest+json",
}

func contentType(name string) string {
	extension := path.Ext(name)
	if kind, ok := contentTypes[extension]; ok {
		return kind
	}
	if kind := mime.TypeByExtension(extension); kind != "" {
		return kind
	}
	return "application/octet-stream"
}

// ServeHTTP answers with a file, or with the page itself: what follows the host in its address is its own matter.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path
	f, ok := p.files[name]
	asset := strings.HasPrefix(name, "/assets/")
	if !ok && !asset && path.Ext(name) == "" {
		f, ok = p.files[index], true
	}
	if !ok {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "There is nothing at this address.", http.StatusNotFound)
		return
	}
	header := w.Header()
	header.Set("Content-Type", f.kind)
	header.Set("ETag", f.tag)
	header.Set("Cache-Control", "no-cache")
	if asset { // named by their content
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}
