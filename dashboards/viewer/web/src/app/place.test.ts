import { expect, test } from "vitest";
import { formatPlace, parsePlace, type Place } from "./place";

const parse = (address: string) => {
  const url = new URL(address, "http://viewer");
  return parsePlace(url.pathname, url.search);
};

const nowhere: Place = { uid: "", vars: {}, from: "", to: "", refresh: "", theme: "", panel: null, kiosk: false, folded: [] };

test("the root is no place in particular", () => {
  expect(parse("/")).toEqual(nowhere);
  expect(formatPlace(nowhere)).toBe("/");
});

test("a link of the command line is understood", () => {
  expect(parse("/d/droplift-drop-live?var-drop=drop-1&from=start-30m&to=data")).toEqual({
    ...nowhere,
    uid: "droplift-drop-live",
    vars: { drop: ["drop-1"] },
    from: "start-30m",
    to: "data",
  });
});

test("every place survives its address", () => {
  const place: Place = {
    uid: "a/b ü",
    vars: { drop: ["d\"rop <b>'; --&=#?"], pop: ["fra1", "הצגה", "🎉"] },
    from: "1760200000000",
    to: "2025-10-11T18:00:00+02:00",
    refresh: "off",
    theme: "light",
    panel: 7,
    kiosk: true,
    folded: ["1", "3"],
  };
  expect(parse(formatPlace(place))).toEqual(place);
});

test("what is not understood stays at its default", () => {
  expect(parse("/d/%E0%A4%A?theme=pink&viewPanel=-1&var-=x&var-pop=$__all&var-drop=&fold=")).toEqual(nowhere);
  expect(parse("/elsewhere?viewPanel=1e3&panel=2")).toEqual(nowhere);
});

test("a value chosen twice counts once", () => {
  expect(parse("/?var-pop=a&var-pop=b&var-pop=a").vars).toEqual({ pop: ["a", "b"] });
});

test("a variable named like a part of an object is just a name", () => {
  expect(formatPlace(parse("/?var-constructor=x"))).toBe("/?var-constructor=x");
});
