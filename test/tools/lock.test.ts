import { expect, test } from "vitest"
import { boundPackages, missingPackages } from "../../packages/tools/src/lock.ts"

test("names the packages of other platforms that a lockfile lacks", () => {
  const packages = {
    "node_modules/tool": {
      dev: true,
      optionalDependencies: { "@tool/cli-linux-x64": "1.0.0", "@tool/cli-linux-arm64-musl": "1.0.0", colours: "2.0.0" }
    },
    "node_modules/@tool/cli-linux-x64": {}
  }
  expect(missingPackages(packages)).toEqual({
    "node_modules/@tool/cli-linux-arm64-musl": {
      version: "1.0.0",
      cpu: ["arm64"],
      os: ["linux"],
      libc: ["musl"],
      dev: true,
      optional: true
    }
  })
})

test("names the packages bound to a registry", () => {
  expect(
    boundPackages({
      "node_modules/a": { resolved: "https://registry.example.com/a/-/a-1.0.0.tgz" },
      "node_modules/b": { resolved: "packages/b" },
      "node_modules/c": {}
    })
  ).toEqual(["node_modules/a"])
})
