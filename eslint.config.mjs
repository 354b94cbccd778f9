import js from "@eslint/js";
import globals from "globals";

// The scripts are read one after the other into one inline script (ui/theme.py, viz/lens_page.py), so they are
// scripts and not modules.
export default [
  js.configs.recommended,
  {
    files: ["**/*.js"],
    languageOptions: { ecmaVersion: 2022, sourceType: "script", globals: globals.browser },
    rules: {
      eqeqeq: "error",
      "no-empty": ["error", { allowEmptyCatch: true }],
      "no-unused-vars": ["error", { ignoreRestSiblings: true }],
      "no-var": "error",
      "one-var": ["error", { initialized: "never" }],
      "prefer-const": ["error", { destructuring: "all" }],
    },
  },
  {
    // Gradio runs each as the function body of a gr.HTML, with these as arguments.
    files: ["qwen2vl_demo/ui/static/{where,comparison,lab/*}.js"],
    languageOptions: { globals: { element: "readonly", props: "readonly", trigger: "readonly", watch: "readonly" } },
  },
];
