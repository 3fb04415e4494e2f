# SPDX-License-Identifier: Apache-2.0
# Several sources compiled as one, with WANSLIM_UNITY and WANSLIM_UNITY_TESTS: headers and templates cost their time once.
# Not where it breaks: Highway's files include themselves once for each SIMD target, and these have names of their own
# (in unnamed namespaces) that a neighbour has too. After a "redefinition of" choose a better name or add a line.
set(WANSLIM_ALONE
  config/practices.cc config/recipe_malformed_test.cc config/recipe_yaml_test.cc config/umt5_naming.cc
  config/wan_variants.cc config/yaml_scalar.cc config/yaml_scalar_test.cc
  formats/comfyui.cc formats/compressed_tensors.cc formats/float_checkpoint.cc formats/gguf.cc formats/gguf_test.cc
  formats/gguf_verify.cc formats/lightx2v.cc formats/lightx2v_test.cc formats/lightx2v_verify.cc formats/mindie.cc
  formats/mindie_test.cc formats/mindie_verify.cc formats/pack_test.cc formats/universal.cc formats/vllm_omni.cc
  formats/vllm_omni_test.cc
  io/av_write.cc io/npy.cc io/output_folder_test.cc io/pickle_test.cc io/png.cc io/png_test.cc io/safetensors.cc
  io/safetensors_test.cc io/torch_zip_test.cc io/zip.cc
  kernels/resize_test.cc kernels/round_test.cc
  models/lora_reader.cc models/text_badness.cc models/text_unicode.cc models/tokenizer_json.cc models/umt5.cc
  models/umt5_names.cc models/umt5_test.cc models/vae_checkpoint_test.cc models/vocabulary.cc models/wan_config.cc
  models/wan_report_test.cc models/wan_vae.cc models/wan_vae_test.cc
  quant/int_scale.cc quant/methods_test.cc quant/nvfp4.cc quant/preparation.cc)

# compile_together(target source ...)
function(compile_together target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)
  foreach(source ${ARGN})
    file(STRINGS ${source} highway REGEX "HWY_TARGET_INCLUDE" LIMIT_COUNT 1)
    string(REGEX REPLACE ".*/([^/]*/[^/]*)$" "\\1" name ${source})
    if(highway OR name IN_LIST WANSLIM_ALONE)
      set_source_files_properties(${source} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
endfunction()
