package sql

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
)

// Migration is one step of the schema's history. A migration that was applied
// anywhere is never edited: later changes are later migrations. Every statement
// can be repeated without harm, since a run may be cut short anywhere.
type Migration struct {
	// Version is positive and grows by one from migration to migration.
	Version int
	// Name is what the file is called after its number.
	Name string
	// SHA256 is the hexadecimal checksum of the whole file.
	SHA256 string
	// Statements in the order to run, without their semicolons.
	Statements []string
}

var migrationFile = regexp.MustCompile(`^(\d{4})_([a-z0-9_]+)\.sql$`)

// Migrations returns every migration in order of version. The error, if any, is
// a defect of the build.
func Migrations() ([]Migration, error) { return migrationsIn(files) }

func migrationsIn(files fs.FS) ([]Migration, error) {
	entries, err := fs.ReadDir(files, "migrations")
	if err != nil {
		return nil, err
	}
	var migrations []Migration
	for _, entry := range entries {
		match := migrationFile.FindStringSubmatch(entry.Name())
		if match == nil {
			return nil, fmt.Errorf("migrations/%s: a migration is named NNNN_name.sql", entry.Name())
		}
		text, err := fs.ReadFile(files, "migrations/"+entry.Name())
		if err != nil {
			return nil, err
		}
		version, err := strconv.Atoi(match[1])
		if err != nil {
			return nil, err
		}
		if version != len(migrations)+1 {
			return nil, fmt.Errorf("migrations/%s: expected version %04d next", entry.Name(), len(migrations)+1)
		}
		statements, err := Split(string(text))
		if err != nil {
			return nil, fmt.Errorf("migrations/%s: %w", entry.Name(), err)
		}
		if len(statements) == 0 {
			return nil, fmt.Errorf("migrations/%s: no statement", entry.Name())
		}
		sum := sha256.Sum256(text)
		migrations = append(migrations, Migration{
			Version:    version,
			Name:       match[2],
			SHA256:     hex.EncodeToString(sum[:]),
			Statements: statements,
		})
	}
	return migrations, nil
}
